// A pad to draw an image on, with mouse, finger or keys, or to choose a test
// image; and the image that the network reads, row by row.
"use strict";
const pad = (data, onChange) => {
  const { rows, columns, white, box, is_light: isLight, images } = data.reads;
  const $ = (name) => document.getElementById(`live-${name}`);
  const SIDE = Math.min(rows, columns), MOST_SCALE = 4;
  // Half of the pen's width, in pixels.
  const RADIUS = Math.max(0.6, 1.2 * SIDE / 28);
  let strokes = [], chosen = null, penIsDown = false;
  let key = { x: columns / 2, y: rows / 2, isDown: false };
  const canvas = $("pad");

  const bytesOf = (text) => Uint8Array.from(atob(text), (x) => x.charCodeAt(0));

  // Returns how much of each pixel strokes cover, from 0 to 1.
  const cover = (lines) => {
    const found = new Float32Array(rows * columns);
    const reach = RADIUS + 0.5;
    const between = (x, least, most) => Math.min(most, Math.max(least, x));
    for (const points of lines) {
      points.forEach((to, i) => {
        const from = points[Math.max(0, i - 1)];
        const dx = to.x - from.x, dy = to.y - from.y;
        const length = dx * dx + dy * dy;
        const first = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
        const last = Math.min(rows, Math.max(from.y, to.y) + reach);
        for (let row = first; row < last; row++) {
          for (let column = 0; column < columns; column++) {
            const x = column + 0.5 - from.x, y = row + 0.5 - from.y;
            const share = length
              ? between((x * dx + y * dy) / length, 0, 1) : 0;
            const far = Math.hypot(x - share * dx, y - share * dy);
            const at = row * columns + column;
            found[at] = Math.max(found[at], between(reach - far, 0, 1));
          }
        }
      });
    }
    return found;
  };

  const moved = (lines, scale, dx, dy) => lines.map((points) =>
    points.map(({ x, y }) => ({ x: scale * x + dx, y: scale * y + dy })));

  // Returns strokes in the size and at the place that the data has: their box
  // as large, and what they cover balanced around the middle.
  const fitted = (lines) => {
    const points = lines.flat();
    const [left, right, top, bottom] = [
      Math.min(...points.map((p) => p.x)), Math.max(...points.map((p) => p.x)),
      Math.min(...points.map((p) => p.y)), Math.max(...points.map((p) => p.y)),
    ];
    const wanted = Math.max(1, box * SIDE - 2 * RADIUS);
    const longer = Math.max(right - left, bottom - top);
    // A dot stays one.
    const scale = longer < 1 ? 1 : Math.min(MOST_SCALE, wanted / longer);
    const placed = moved(lines, scale,
      columns / 2 - scale * (left + right) / 2,
      rows / 2 - scale * (top + bottom) / 2);
    let sum = 0, sumX = 0, sumY = 0;
    cover(placed).forEach((value, at) => {
      sum += value;
      sumX += value * (at % columns + 0.5);
      sumY += value * (Math.floor(at / columns) + 0.5);
    });
    // No further than the edge.
    const shift = (middle, mass, size) => {
      const room = Math.max(0, middle - RADIUS - scale * size / 2);
      return Math.max(-room, Math.min(room, middle - mass / (sum || 1)));
    };
    return moved(placed, 1,
      shift(columns / 2, sumX, right - left),
      shift(rows / 2, sumY, bottom - top));
  };

  // Returns pixels from 0 (black) to 1 (white).
  const pixelsOf = (lines) => {
    const drawn = cover(lines);
    const under = chosen && chosen.values;
    return drawn.map((value, at) => {
      if (!under) return isLight ? 1 - value : value;
      const before = Math.fround(under[at] / white);
      return isLight ? Math.min(before, 1 - value) : Math.max(before, value);
    });
  };

  // Returns the rows that the network reads.
  const rowsOf = () => {
    const fits = $("fit").checked && !chosen && strokes.length;
    const pixels = pixelsOf(fits ? fitted(strokes) : strokes);
    return Array.from({ length: rows }, (_, row) =>
      pixels.subarray(row * columns, (row + 1) * columns));
  };

  // Paints pixels, those after the row `t` half as bright.
  const paint = (target, pixels, t) => {
    const image = new ImageData(columns, rows);
    pixels.forEach((value, at) => {
      const isRead = at < (t + 1) * columns;
      const grey = 255 * (isRead ? value : 0.4 * value + 0.3);
      image.data.set([grey, grey, grey, 255], 4 * at);
    });
    const small = new OffscreenCanvas(columns, rows);
    small.getContext("2d").putImageData(image, 0, 0);
    const scale = Math.max(1, Math.round(
      (target.clientWidth || columns) * devicePixelRatio / columns));
    target.width = scale * columns;
    target.height = scale * rows;
    const context = target.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, target.width, target.height);
    return [context, scale];
  };

  const paintPad = () => {
    const [context, scale] = paint(canvas, pixelsOf(strokes), rows);
    if (document.activeElement !== canvas ||
        !canvas.matches(":focus-visible")) return;
    context.strokeStyle = key.isDown ? "#ff8a80" : "#6db3f2";
    context.lineWidth = 2 * devicePixelRatio;
    context.beginPath();
    context.arc(key.x * scale, key.y * scale, (RADIUS + 0.5) * scale, 0, 7);
    context.stroke();
  };

  const show = (inputs, t) => {
    const pixels = Float32Array.from(inputs.flatMap((row) => [...row]));
    const target = $("read");
    const [context, scale] = paint(target, pixels, t);
    context.strokeStyle = "#f5a04c";
    context.lineWidth = 2 * devicePixelRatio;
    context.strokeRect(1, t * scale, target.width - 2, scale);
    target.setAttribute("aria-label", `The image of ${rows} rows; the ` +
      `network has read row ${t + 1}`);
    paintPad();
  };

  let isWaiting = false;
  const changed = () => {
    for (const each of images) {
      each.button.setAttribute("aria-pressed", each === chosen);
    }
    // Once before the next picture is shown, however many points there are.
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => { isWaiting = false; onChange(); });
  };

  const choose = (image) => {
    chosen = image;
    strokes = [];
    changed();
  };

  const placeOf = (event) => ({
    x: event.offsetX / canvas.clientWidth * columns,
    y: event.offsetY / canvas.clientHeight * rows,
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    penIsDown = true;
    strokes.push([placeOf(event)]);
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!penIsDown) return;
    const events = event.getCoalescedEvents?.() ?? [];
    strokes[strokes.length - 1].push(
      ...(events.length ? events : [event]).map(placeOf));
    changed();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => { penIsDown = false; });
  }

  const STEPS = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) {
      key.x = Math.min(columns, Math.max(0, key.x + step[0]));
      key.y = Math.min(rows, Math.max(0, key.y + step[1]));
    } else {
      key.isDown = !key.isDown;
      if (key.isDown) strokes.push([]);
    }
    if (!key.isDown) { paintPad(); return; }
    strokes[strokes.length - 1].push({ x: key.x, y: key.y });
    changed();
  });
  for (const name of ["focus", "blur"]) {
    canvas.addEventListener(name, () => { key.isDown = false; paintPad(); });
  }

  $("clear").addEventListener("click", () => choose(null));
  $("fit").addEventListener("change", changed);
  for (const image of images) {
    image.values = bytesOf(image.pixels);
    const button = document.createElement("button");
    const thumb = document.createElement("canvas");
    button.type = "button";
    button.className = "thumb";
    button.setAttribute("aria-label",
      `${image.name}, a ${data.outputs[image.target]}`);
    button.append(thumb);
    button.addEventListener("click", () => choose(image));
    image.button = button;
    paint(thumb, Float32Array.from(image.values, (x) => x / white), rows);
    $("examples").append(button);
  }
  chosen = images[0] ?? null;

  return {
    rowsOf,
    show,
    start: changed,
    // The right class, if the image is a test image as it is.
    target: () => (chosen && !strokes.length ? chosen.target : null),
  };
};

// As the readers of text do: returns what the network reads, and how to write
// its answer.
pad.read = (data, rows) => ({
  symbols: rows,
  write: ([each]) => (each < 0 ? "?" : data.outputs[each]),
});
