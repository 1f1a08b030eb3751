// The live network of the page: an input, its answer, and what the network
// computes at the step that the slider selects.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("live-data").textContent);
  const network = stepper.load(data);
  const { machine } = data;
  const isImage = data.reads.reader === "image";
  const reader = isImage ? pad.read : readers;
  const STEP = isImage ? "row" : "step", PAUSE = isImage ? 150 : 400;
  let drawing = null;
  const $ = (name) => document.getElementById(`live-${name}`);
  const MOST_COLUMNS = 24, MOST_CLASSES = 12;
  const PARTS = {
    h: "state h", c: "state c", i: "input gate", f: "forget gate",
    g: "candidate", o: "output gate",
  };
  const SIGNED = ["h", "c", "g"];
  let now = null;
  let timer = null;
  let given = { text: "", shown: "" };

  // Returns everything there is to say of an input.
  const compute = (text) => {
    const input = reader(data, text);
    const steps = stepper.run(network, input.symbols);
    const classes = stepper.predict(network, steps);
    const states = [0], right = [];
    if (machine) {
      for (const symbol of input.symbols) {
        const state = states[states.length - 1];
        right.push(machine.output[state][symbol]);
        states.push(machine.next_state[state][symbol]);
      }
    }
    return { ...input, steps, classes, states, right };
  };

  // For tests, and for the console.
  window.answerOf = (text) => {
    const found = compute(text);
    return found.write(found.classes);
  };

  const nameOf = (found, t) => {
    if (found.names) return found.names[t];
    const symbol = found.symbols[t];
    return machine ? machine.symbols[symbol] : String(symbol);
  };
  const outputOf = (each) => (each < 0 ? "?" : data.outputs[each]);
  // Rounded down: 100% is only what is exactly that.
  const percent = (x) => `${(Math.floor(1000 * x) / 10).toFixed(1)}%`;
  const number = (x) => Number(x.toPrecision(4)).toString();
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) {
      element.setAttribute(name, value);
    }
    return element;
  };

  const showAnswer = (found) => {
    const answer = found.write(found.classes);
    const parts = [make("span", "Answer: "), make("code", answer)];
    if (machine) {
      const target = found.write(found.right);
      const isRight = found.right.every((x, t) => x === found.classes[t]);
      const verdict = isRight ? "right" : `wrong: ${target} is right`;
      parts.push(make("strong", ` ${verdict}`, {
        class: isRight ? "is-right" : "is-wrong",
      }));
    } else if (found.classes.length === 1 && found.classes[0] >= 0) {
      const { logits } = found.steps[found.steps.length - 1];
      const share = stepper.softmax(logits)[found.classes[0]];
      parts.push(make("span", ` (${percent(share)})`));
    }
    const target = drawing?.target() ?? null;
    if (target !== null) {
      const isRight = target === found.classes[0];
      parts.push(make("strong",
        isRight ? " right" : ` wrong: ${outputOf(target)} is right`,
        { class: isRight ? "is-right" : "is-wrong" }));
    }
    const unknown = data.reads.reader === "tokens"
      ? found.symbols.filter((x) => x === 1).length : 0;
    if (unknown) {
      parts.push(make("span", ` ${unknown} of ${found.symbols.length} tokens ` +
        "are unknown."));
    }
    $("answer").replaceChildren(...parts);
  };

  // A column for each step near the one that is selected.
  const showTape = (found, t) => {
    const count = found.steps.length;
    const first = Math.max(0, Math.min(t - MOST_COLUMNS / 2,
      count - MOST_COLUMNS));
    const shown = [...Array(Math.min(count, MOST_COLUMNS)).keys()]
      .map((k) => first + k);
    const rows = [[STEP, (k) => k + 1]];
    if (!isImage) rows.push(["reads", (k) => nameOf(found, k)]);
    if (machine) {
      rows.push(["in state", (k) => machine.states[found.states[k]]]);
      rows.push(["right", (k) => outputOf(found.right[k])]);
    }
    if (network.perStep || network.reshape) {
      rows.push(["answers", (k) => outputOf(found.classes[k])]);
    } else {
      rows.push(["answer so far", (k) =>
        outputOf(stepper.largest(found.steps[k].logits))]);
      rows.push(["probability", (k) =>
        percent(Math.max(...stepper.softmax(found.steps[k].logits)))]);
    }
    $("tape").replaceChildren(...rows.map(([label, at]) => {
      const row = make("tr", "");
      row.append(make("th", label, { scope: "row" }));
      for (const k of shown) {
        const cell = make(label === STEP ? "th" : "td", at(k));
        if (label === STEP) cell.scope = "col";
        if (k === t) cell.classList.add("now");
        if (label === "answers" && machine &&
            found.right[k] !== found.classes[k]) {
          cell.classList.add("off");
        }
        cell.addEventListener("click", () => select(k));
        row.append(cell);
      }
      return row;
    }));
    keepWhatFits(1 + t - first);
  };

  // Removes the columns of the tape for which there is no room, the furthest
  // from a column first, so that no text is cut.
  const keepWhatFits = (column) => {
    const tape = $("tape"), cells = [...tape.rows[0].cells];
    const widths = cells.map((cell) => cell.getBoundingClientRect().width);
    let room = tape.closest(".scroll").clientWidth - widths[0] - widths[column];
    let low = column, high = column;
    for (let fits = true; fits;) {
      fits = false;
      for (const next of [low - 1, high + 1]) {
        if (next < 1 || next >= cells.length || widths[next] > room) continue;
        room -= widths[next];
        [low, high, fits] = [Math.min(low, next), Math.max(high, next), true];
      }
    }
    for (const row of tape.rows) {
      [...row.cells].forEach((cell, k) => {
        if (k && (k < low || k > high)) cell.remove();
      });
    }
  };

  const describe = (found, t) => {
    const { logits } = found.steps[t];
    if (isImage) {
      const share = Math.max(...stepper.softmax(logits));
      return `After row ${t + 1} of ${found.steps.length}, the network would ` +
        `answer “${outputOf(stepper.largest(logits))}” (${percent(share)}).`;
    }
    let text = `Step ${t + 1} of ${found.steps.length} reads ` +
      `“${nameOf(found, t)}”`;
    if (machine) text += ` in state ${machine.states[found.states[t]]}`;
    if (network.reshape) return `${text}.`;
    const said = stepper.largest(logits);
    text += `; the network ${network.perStep ? "answers" : "would answer"} ` +
      `“${outputOf(said)}”`;
    if (!machine) return `${text}.`;
    const wanted = found.right[t];
    const others = Array.from(logits).filter((_, k) => k !== wanted);
    const margin = logits[wanted] - Math.max(...others);
    return `${text}, which is ${said === wanted ? "right" : "wrong"}, by a ` +
      `margin of ${number(margin)}.`;
  };

  const showClasses = (found, t) => {
    $("classes-part").hidden = Boolean(network.reshape);
    if (network.reshape) return;
    const { logits } = found.steps[t];
    const shares = stepper.softmax(logits);
    const order = [...shares.keys()]
      .sort((a, b) => shares[b] - shares[a]).slice(0, MOST_CLASSES);
    if (shares.length <= MOST_CLASSES) order.sort((a, b) => a - b);
    $("classes").replaceChildren(...order.map((each) => {
      const row = make("tr", "");
      const bar = make("td", "", { class: "bar chance" });
      const span = make("span", "");
      span.style.setProperty("--share", shares[each]);
      bar.append(span);
      row.append(make("th", outputOf(each), { scope: "row" }),
        make("td", number(logits[each])),
        make("td", percent(shares[each])), bar);
      return row;
    }));
  };

  const showValues = (found, t) => {
    if (!$("values").closest("details").open) return;
    const layer = found.steps[t].layers[Number($("layer").value)];
    $("values").replaceChildren(...Array.from(layer.h, (_, unit) => {
      const row = make("tr", "");
      row.append(make("th", unit, { scope: "row" }));
      for (const part of Object.keys(PARTS)) {
        row.append(make("td", layer[part][unit].toFixed(3)));
      }
      return row;
    }));
  };

  const rgb = (name) => {
    const text = getComputedStyle(document.body).getPropertyValue(name).trim();
    return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  };

  // A row for each unit, a column for each step.
  const showMap = (found, t) => {
    const part = $("part").value, index = Number($("layer").value);
    const rows = found.steps.map((step) => step.layers[index][part]);
    const units = rows[0].length, count = rows.length;
    const most = part === "c"
      ? rows.reduce((a, row) => row.reduce(
        (b, x) => Math.max(b, Math.abs(x)), a), 1e-9) : 1;
    const [paper, high, low] = ["--paper", "--first", "--second"].map(rgb);
    const image = new ImageData(count, units);
    rows.forEach((row, step) => row.forEach((value, unit) => {
      const share = Math.min(1, Math.abs(value) / most) || 0;
      const color = value < 0 ? low : high;
      const at = 4 * (unit * count + step);
      for (let k = 0; k < 3; k++) {
        image.data[at + k] = paper[k] + share * (color[k] - paper[k]);
      }
      image.data[at + 3] = 255;
    }));
    const small = new OffscreenCanvas(count, units);
    small.getContext("2d").putImageData(image, 0, 0);
    const canvas = $("map");
    canvas.width = Math.max(1, canvas.clientWidth) * devicePixelRatio;
    canvas.height = canvas.clientHeight * devicePixelRatio;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    const width = canvas.width / count;
    context.strokeStyle = `rgb(${rgb("--ink")})`;
    context.lineWidth = 2 * devicePixelRatio;
    context.strokeRect(t * width, 1, Math.max(width, 2), canvas.height - 2);
    const name = PARTS[part];
    canvas.setAttribute("aria-label", `Heat map of the ${name} of ${units} ` +
      `units of layer ${index + 1} at ${count} ${STEP}s`);
    $("legend").textContent = SIGNED.includes(part)
      ? `A line for each unit, a column for each ${STEP}. Blue: ` +
        `+${number(most)}, orange: −${number(most)}.`
      : `A line for each unit, a column for each ${STEP}. Blue: 1, blank: 0.`;
  };

  const select = (t) => {
    $("step").value = t + 1;
    show();
  };

  const show = () => {
    if (!now) return;
    const t = Number($("step").value) - 1;
    $("said").textContent = describe(now, t);
    $("step").setAttribute("aria-valuetext",
      `${STEP} ${t + 1} of ${now.steps.length}`);
    drawing?.show(now.symbols, t);
    showTape(now, t);
    showClasses(now, t);
    showMap(now, t);
    showValues(now, t);
  };

  const readDrawing = () => {
    stop();
    now = compute(drawing.rowsOf());
    $("step").max = now.steps.length;
    showAnswer(now);
    select(now.steps.length - 1);
  };

  // A text field leaves out line breaks: until it is edited, the text counts
  // that was put there.
  const type = (text) => {
    $("input").value = text;
    given = { text, shown: $("input").value };
  };
  const typed = () => {
    const shown = $("input").value;
    return shown === given.shown ? given.text : shown;
  };

  const read = () => {
    stop();
    const text = typed();
    try {
      now = compute(text);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      $("error").textContent = error.message;
      $("input").setAttribute("aria-invalid", "true");
      return;
    }
    $("error").textContent = "";
    $("input").removeAttribute("aria-invalid");
    $("step").max = now.steps.length;
    showAnswer(now);
    select(0);
  };

  const stop = () => {
    clearInterval(timer);
    timer = null;
    $("play").textContent = "Play";
  };
  const play = () => {
    if (timer !== null) { stop(); return; }
    if (!now) return;
    if (Number($("step").value) >= now.steps.length) select(0);
    $("play").textContent = "Stop";
    timer = setInterval(() => {
      if (Number($("step").value) >= now.steps.length) stop();
      else select(Number($("step").value));
    }, PAUSE);
  };

  const startText = () => {
    const LABELS = {
      numbers: data.reads.base === 2
        ? "Number (decimal, 0b… or 0x…)" : "Number (decimal)",
      names: "Symbols, separated by spaces",
      symbols: "Symbols, as numbers separated by spaces",
      tokens: "Text",
    };
    $("label").textContent = LABELS[data.reads.reader];
    $("examples").append(...data.examples.map((text) => {
      const short = text.length > 28 ? `${text.slice(0, 26)}…` : text;
      const button = make("button", short, { type: "button" });
      button.addEventListener("click", () => {
        type(text);
        read();
      });
      return button;
    }));
    type(data.examples[0] ?? "");
    $("form").addEventListener("submit", (event) => {
      event.preventDefault();
      read();
    });
    if ($("input").value) read();
  };
  const startImage = () => {
    $("read").addEventListener("click", (event) => {
      const share = event.offsetY / $("read").clientHeight;
      stop();
      select(Math.min(now.steps.length - 1,
        Math.floor(share * now.steps.length)));
    });
    drawing = pad(data, readDrawing);
    drawing.start();
  };

  network.lstms.forEach((_, index) =>
    $("layer").append(new Option(`layer ${index + 1}`, index)));
  $("layer").value = network.lstms.length - 1;
  for (const [part, name] of Object.entries(PARTS)) {
    $("part").append(new Option(name, part));
  }
  $("examples-part").hidden =
    !(isImage ? data.reads.images : data.examples).length;
  $("step").addEventListener("input", () => { stop(); show(); });
  $("play").addEventListener("click", play);
  for (const name of ["layer", "part"]) $(name).addEventListener("change", show);
  $("values").closest("details").addEventListener("toggle", show);
  $("map").addEventListener("click", (event) => {
    if (!now) return;
    const share = event.offsetX / $("map").clientWidth;
    select(Math.min(now.steps.length - 1,
      Math.floor(share * now.steps.length)));
  });
  addEventListener("resize", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  $("app").hidden = false;
  if (isImage) startImage();
  else startText();
})();
