"""PyTorch: nn.LSTM, tensors in memory, batches made by slicing.

With `--compiled`, `torch.compile` compiles the models for training and
inference. It leaves nn.LSTM as it is, and compiles what is around it.
"""

import sys

import answering
import numpy as np
import torch

EXAMPLES = {"increment": 2**17, "image-rows": 2**15}


class TutorialModel(torch.nn.Module):
    """A tutorial's network."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.is_increment = model == "increment"
        if self.is_increment:
            self.embedding = torch.nn.Embedding(2, 10)
            self.lstm = torch.nn.LSTM(10, 32, num_layers=2, batch_first=True)
            self.dense = torch.nn.Linear(32, 40)
        else:
            self.lstm = torch.nn.LSTM(28, 128, batch_first=True)
            self.dense = torch.nn.Linear(128, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits, with the classes at axis 1."""
        if self.is_increment:
            inputs = self.embedding(inputs)
        outputs, _ = self.lstm(inputs)
        logits = self.dense(outputs[:, -1])
        return logits.view(-1, 20, 2).mT if self.is_increment else logits


def build(name: str) -> torch.nn.Module:
    """Build a tutorial's network."""
    model = TutorialModel(name)
    return torch.compile(model) if "--compiled" in sys.argv else model


def train(name: str, batch_size: int) -> answering.Run:
    """Return a run of training steps with Adam, counting right outputs."""
    inputs, targets = map(
        torch.from_numpy, answering.examples(name, EXAMPLES[name])
    )
    targets = targets.long()
    model = build(name)
    optimizer = torch.optim.Adam(model.parameters())

    def run(steps: int) -> None:
        order = torch.randperm(steps * batch_size)
        right = torch.zeros(())
        for step in range(steps):
            batch = order[step * batch_size : (step + 1) * batch_size]
            optimizer.zero_grad()
            logits = model(inputs[batch])
            loss = torch.nn.functional.cross_entropy(logits, targets[batch])
            loss.backward()
            optimizer.step()
            right += (logits.argmax(1) == targets[batch]).sum()

    return run


def infer(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions without gradients."""
    inputs, _ = answering.examples(name, EXAMPLES[name])
    tensors = torch.from_numpy(inputs)
    model = build(name)

    def run(steps: int) -> None:
        with torch.inference_mode():
            for step in range(steps):
                first = step * batch_size
                model(tensors[first : first + batch_size])

    return run


def check(name: str, batch_size: int) -> answering.Run:
    """Return a brute-force check of all inputs."""
    model = TutorialModel(name)

    def ask(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            parts = torch.from_numpy(inputs).split(batch_size)
            return torch.cat([model(x) for x in parts]).mT.numpy()

    return answering.checking(name, batch_size, ask)


def feed(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for one bit after the other."""
    embedding = torch.nn.Embedding(2, 10)
    first, second = torch.nn.LSTMCell(10, 32), torch.nn.LSTMCell(32, 32)
    dense = torch.nn.Linear(32, 2)

    def run(steps: int) -> None:
        bits = torch.from_numpy(answering.symbols(steps)).view(-1, 1)
        lower = upper = None
        with torch.inference_mode():
            for bit in bits:
                lower = first(embedding(bit), lower)
                upper = second(lower[0], upper)
                dense(upper[0]).argmax().item()

    return run


def call(name: str, batch_size: int) -> answering.Run:
    """Return a run of predictions for all bits in one call."""
    embedding = torch.nn.Embedding(2, 10)
    lstm = torch.nn.LSTM(10, 32, num_layers=2)
    dense = torch.nn.Linear(32, 2)

    def run(steps: int) -> None:
        with torch.inference_mode():
            bits = torch.from_numpy(answering.symbols(steps))
            dense(lstm(embedding(bits))[0]).argmax(-1).numpy()

    return run


if __name__ == "__main__":
    answering.answer(
        {
            "train": train,
            "infer": infer,
            "check": check,
            "feed": feed,
            "call": call,
        }
    )
