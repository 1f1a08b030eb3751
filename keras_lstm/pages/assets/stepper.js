// The trained network, one time step at a time: an Embedding, Normalization and
// causal Conv1D layer, as far as it has them, LSTM layers and a Dense layer, with
// the equations of models/stepper.py.
"use strict";
const stepper = (() => {
  // Reads an array as pages/live_network.py packs it.
  const unpack = ({ shape, float32 }) => {
    const bytes = Uint8Array.from(atob(float32), (x) => x.charCodeAt(0));
    const values = new Float32Array(bytes.buffer);
    return { columns: shape[shape.length - 1], values };
  };

  // Returns the bias, and a matrix for each of the steps that are read at once.
  const loadEncoder = ({ kernel, bias }) => {
    const [steps, features, columns] = kernel.shape;
    const size = features * columns, { values } = unpack(kernel);
    return {
      bias: unpack(bias).values,
      kernels: Array.from({ length: steps }, (_, k) => ({
        columns, values: values.subarray(k * size, (k + 1) * size),
      })),
    };
  };

  const load = (data) => ({
    embedding: data.embedding && unpack(data.embedding),
    normalization: data.normalization && {
      mean: unpack(data.normalization.mean).values,
      deviation: unpack(data.normalization.deviation).values,
    },
    encoder: data.encoder && loadEncoder(data.encoder),
    lstms: data.lstms.map((lstm) => ({
      kernel: unpack(lstm.kernel),
      recurrent: unpack(lstm.recurrent),
      bias: unpack(lstm.bias),
      units: lstm.recurrent.shape[0],
    })),
    dense: { kernel: unpack(data.dense.kernel), bias: unpack(data.dense.bias) },
    perStep: data.per_step,
    reshape: data.reshape,
  });

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  // Adds the product of a vector and a matrix to another vector.
  const addProduct = (sum, vector, { columns, values }) => {
    for (let i = 0, k = 0; i < vector.length; i++) {
      const factor = vector[i];
      for (let j = 0; j < columns; j++, k++) sum[j] += factor * values[k];
    }
  };

  // Returns the gates and the state of one LSTM layer after a time step. The
  // last axis of its weights: input, forget, candidate and output gate.
  const cell = (lstm, before, x) => {
    const { units } = lstm;
    const z = Float64Array.from(lstm.bias.values);
    addProduct(z, x, lstm.kernel);
    addProduct(z, before.h, lstm.recurrent);
    const part = (gate, activation) =>
      Float64Array.from({ length: units }, (_, k) =>
        activation(z[gate * units + k]));
    const i = part(0, sigmoid), f = part(1, sigmoid);
    const g = part(2, Math.tanh), o = part(3, sigmoid);
    const c = f.map((forget, k) => forget * before.c[k] + i[k] * g[k]);
    const h = o.map((open, k) => open * Math.tanh(c[k]));
    return { i, f, g, o, c, h };
  };

  const logitsOf = ({ dense }, h) => {
    const sum = Float64Array.from(dense.bias.values);
    addProduct(sum, h, dense.kernel);
    return sum;
  };

  // Returns what the first LSTM layer reads.
  const encode = ({ embedding, normalization, encoder }, inputs) => {
    let rows = inputs;
    if (embedding) {
      const { columns, values } = embedding;
      rows = rows.map((symbol) =>
        values.subarray(symbol * columns, (symbol + 1) * columns));
    }
    if (normalization) {
      // As many as features, or one for all.
      const at = (values, k) => values[values.length > 1 ? k : 0];
      const { mean, deviation } = normalization;
      rows = rows.map((row) => Float64Array.from(row, (x, k) =>
        (x - at(mean, k)) / at(deviation, k)));
    }
    if (!encoder) return rows;
    const { bias, kernels } = encoder;
    return rows.map((_, t) => {
      const sum = Float64Array.from(bias);
      kernels.forEach((kernel, k) => {
        const row = rows[t - kernels.length + 1 + k];
        if (row) addProduct(sum, row, kernel);
      });
      return sum.map((x) => Math.max(0, x));
    });
  };

  // Returns what there is after each input, a symbol or a row of numbers: the
  // layers, and the logits that the network would put out if the sequence ended
  // there.
  const run = (network, inputs) => {
    let layers = network.lstms.map(({ units }) => ({
      h: new Float64Array(units), c: new Float64Array(units),
    }));
    return encode(network, inputs).map((row) => {
      let x = row;
      layers = network.lstms.map((lstm, index) => {
        const after = cell(lstm, layers[index], x);
        x = after.h;
        return after;
      });
      return { layers, logits: logitsOf(network, x) };
    });
  };

  // Returns the class of the largest logit, -1 if one is not a number.
  const largest = (logits) =>
    logits.some(Number.isNaN) ? -1 : logits.indexOf(Math.max(...logits));

  // Returns the classes that the network predicts for a sequence.
  const predict = (network, steps) => {
    if (network.perStep) return steps.map((step) => largest(step.logits));
    const last = steps[steps.length - 1].logits;
    if (!network.reshape) return [largest(last)];
    const [outputs, classes] = network.reshape;
    return Array.from({ length: outputs }, (_, k) =>
      largest(last.subarray(k * classes, (k + 1) * classes)));
  };

  const softmax = (logits) => {
    const most = Math.max(...logits);
    const powers = Array.from(logits, (x) => Math.exp(x - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((x) => x / sum);
  };

  return { load, run, predict, largest, softmax };
})();
