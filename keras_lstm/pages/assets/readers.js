// Inputs as people write them: what `read` and `describe` of the notations in
// tasks/ do. Each reader returns the symbols, and how to write an answer.
"use strict";
const readers = (() => {
  const wrong = (message) => { throw new RangeError(message); };

  const digitsOf = (value, base, length) => {
    const digits = [];
    for (let rest = value; rest > 0n || digits.length < length; rest /= base) {
      digits.push(Number(rest % base));
    }
    return digits;
  };

  const valueOf = (digits, base) =>
    digits.reduceRight((sum, digit) => sum * base + BigInt(digit), 0n);

  const inDomain = (machine, symbols) => {
    if (!machine.domain) return true;
    const move = (state, symbol) => machine.next_state[state][symbol];
    return machine.domain.includes(symbols.reduce(move, 0));
  };

  // Numbers, least significant digit first inside, most significant outside.
  const numbers = (data, text) => {
    const { base, num_bits: steps, any_length: anyLength } = data.reads;
    const big = BigInt(base);
    const written = text.trim();
    const digits = "0123456789".slice(0, base);
    const are = (part) => part !== "" && [...part].every((x) =>
      digits.includes(x));
    let notation, value, length;
    const prefixed = /^0([bx])([0-9a-f]+)$/i.exec(written);
    if (written.length === steps && base <= 10 && are(written)) {
      notation = "digits";
      value = valueOf([...written].reverse(), big);
      length = steps;
    } else if (prefixed && /^0[bx]/.test(written)) {
      if (base !== 2) wrong("Write a decimal number for this task.");
      const isBinary = prefixed[1] === "b";
      if (isBinary && !are(prefixed[2])) wrong("After 0b, write 0 and 1 only.");
      notation = isBinary ? "binary" : "hexadecimal";
      value = BigInt(written);
      length = isBinary ? prefixed[2].length : digitsOf(value, 2n, 0).length;
    } else if (/^[0-9]+$/.test(written)) {
      notation = "decimal";
      value = BigInt(written);
      length = digitsOf(value, big, 0).length;
    } else {
      wrong(`Write a decimal number${base === 2 ? ", 0b… or 0x…" : ""}.`);
    }
    if (!anyLength && length > steps) {
      wrong(`The network reads ${steps} symbols; this number has ${length}.`);
    }
    let symbols = digitsOf(value, big, Math.max(steps, length));
    if (!inDomain(data.machine, symbols)) {
      symbols = [...symbols, 0];
      if (!anyLength || !inDomain(data.machine, symbols)) {
        wrong("This number is outside of the domain of the task.");
      }
    }
    const width = written.length - 2;
    const write = (classes) => {
      const bases = data.outputs.length;
      const inOrder = [...classes].reverse();
      if (inOrder.some((x) => x < 0) || bases > 10) {
        return inOrder.map((x) => (x < 0 ? "?" : x)).join(" ");
      }
      const joined = inOrder.join("");
      if (notation === "digits") return joined;
      const number = valueOf(classes, BigInt(bases));
      if (notation === "decimal") return number.toString();
      if (bases === 2 && notation === "hexadecimal") {
        return `0x${number.toString(16).padStart(width, "0")}`;
      }
      return `0b${joined.replace(/^0+/, "").padStart(width, "0")}`;
    };
    return { symbols, write };
  };

  const byName = (data) => (classes) => classes.map((each) =>
    (each < 0 ? "?" : data.outputs[each])).join(" ");

  const checkLength = (found, steps) => {
    if (!found.length) wrong("Write a sequence.");
    if (steps !== null && found.length !== steps) {
      wrong(`Write ${steps} symbols; these are ${found.length}.`);
    }
    return found;
  };

  const names = (data, text) => {
    const known = data.reads.names;
    let words = text.split(/\s+/).filter(Boolean);
    if (known.every((name) => [...name].length === 1)) {
      words = words.flatMap((word) => [...word]);
    }
    const symbols = words.map((word) => {
      const symbol = known.indexOf(word);
      return symbol < 0 ? wrong(`There is no symbol ${word}.`) : symbol;
    });
    checkLength(symbols, data.reads.num_steps);
    return { symbols, write: byName(data) };
  };

  const symbols = (data, text) => {
    const found = text.split(/\s+/).filter(Boolean).map((word) => {
      const symbol = /^[0-9]+$/.test(word) ? Number(word) : Infinity;
      const most = data.reads.num_symbols - 1;
      return symbol <= most ? symbol : wrong(`Write numbers from 0 to ${most}.`);
    });
    checkLength(found, data.reads.num_steps);
    return { symbols: found, write: byName(data) };
  };

  const spaces = (text) => text.split(/[ \t\n\r\f\v]+/).filter(Boolean);

  const list = (text) => {
    if (!text.trimStart().startsWith("[")) return spaces(text);
    let found;
    try { found = JSON.parse(text); } catch { return spaces(text); }
    const isText = found.every((x) => typeof x === "string" && x);
    if (!isText && !found.every(Number.isInteger)) {
      wrong("Tokens must be all strings or all integers.");
    }
    return found.map(String);
  };

  const split = {
    characters: (text) => [...text],
    words: (text) => spaces(
      text.replace(/[A-Z]/g, (x) => x.toLowerCase())
        .replace(/[!"#$%&()*+,\-./:;<=>?@[\\\]^_`{|}~']/g, "")),
    spaces,
    list,
  };

  const tokens = (data, text) => {
    const { tokens: kind, vocabulary, max_length: most } = data.reads;
    data.numbers ??= new Map(vocabulary.map((token, i) => [token, i + 2]));
    const found = split[kind](text).slice(0, most ?? undefined);
    checkLength(found, null);
    // 1 is an unknown token, see tasks/tokens.py.
    const encoded = found.map((token) => data.numbers.get(token) ?? 1);
    return { symbols: encoded, names: found, write: byName(data) };
  };

  const all = { numbers, names, symbols, tokens };
  return (data, text) => {
    const found = all[data.reads.reader](data, text);
    if (found.symbols.length > data.max_steps) {
      wrong(`This page shows up to ${data.max_steps} steps.`);
    }
    return found;
  };
})();
