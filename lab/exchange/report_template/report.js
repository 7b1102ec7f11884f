"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const byId = (id) => document.getElementById(id);
  const make = (name, text) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text; // textContent, never HTML: the text is the run's
    return element;
  };
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const value = new Map([...digits].map((digit, at) => [digit, at]));
  const largest = data.codes - 1;

  /** The words of a code: see lab/exchange/html_report.py. */
  const percent = (code) =>
    code === 0 ? "0%" : code === 1 ? "<0.1%" : code === largest ? "100%" : code === largest - 1 ? ">99.9%" : ((code - 1) / 10).toFixed(1) + "%";
  const share = (code) => Math.max(0, Math.min(1, (code - 1) / (largest - 2)));

  const number = (x) => (Math.abs(x) >= 0.001 || x === 0 ? x.toFixed(3) : x.toExponential(2)).replace("-", "−");

  // Charts: the nearest point of each line to the pointer, or to the place that the arrow keys move.
  document.querySelectorAll("svg[data-chart]").forEach((svg) => {
    const chart = data.charts[Number(svg.dataset.chart)];
    const hair = svg.querySelector(".hair");
    const readout = document.querySelector(`[data-for-chart="${svg.dataset.chart}"]`);
    const [low, high] = chart.x;
    const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    let at = high;
    const read = (x) => {
      const main = chart.lines.reduce((a, b) => (b.points.length > a.points.length ? b : a));
      at = nearest(main.points, Math.max(low, Math.min(high, x)))[0];
      const place = chart.left + ((at - low) / (high - low)) * (chart.width - chart.left - chart.right);
      hair.setAttribute("x1", place);
      hair.setAttribute("x2", place);
      hair.setAttribute("visibility", "visible");
      readout.textContent = chart.lines
        .map((line) => [line.name, nearest(line.points, at)])
        .map(([name, [step, y]]) => `${name} ${number(y)} at step ${step.toLocaleString("en")}`)
        .join(" · ");
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const place = ((event.clientX - box.left) / box.width) * chart.width;
      read(low + ((place - chart.left) / (chart.width - chart.left - chart.right)) * (high - low));
    });
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      read(at + (by * (high - low)) / 100);
    });
  });

  if (!data.prompt) return;
  const { tokens, first, layers, heads, top } = data.prompt;
  const size = tokens.length;
  const perHead = (size * (size + 1)) / 2;
  const codes = new Uint16Array(layers * heads * perHead);
  for (let at = 0; at < codes.length; at++) {
    codes[at] = value.get(data.prompt.patterns[2 * at]) * 64 + value.get(data.prompt.patterns[2 * at + 1]);
  }
  const codeAt = (layer, head, query, key) => codes[(layer * heads + head) * perHead + (query * (query + 1)) / 2 + key];
  const quoted = (label) => `“${label}”`;
  const position = (index) => first + index + 1;
  let query = size - 1;
  // At first the head that attends most from the last token to one before it; nearly all heads attend to the first token.
  let chosen = { layer: 0, head: 0 };
  let strongest = -1;
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head++) {
      for (let key = 1; key < query; key++) {
        if (codeAt(layer, head, query, key) > strongest) {
          strongest = codeAt(layer, head, query, key);
          chosen = { layer, head };
        }
      }
    }
  }

  const ramp = () => (dark.matches ? data.ramps.dark : data.ramps.light);
  const colourOf = (code) => ramp()[Math.round(share(code) * (ramp().length - 1))];

  const cells = (context, layer, head, cell) => {
    for (let row = 0; row < size; row++) {
      for (let column = 0; column <= row; column++) {
        context.fillStyle = colourOf(codeAt(layer, head, row, column));
        context.fillRect(column * cell, row * cell, cell, cell);
      }
    }
  };

  // The chosen head, enlarged: with its tokens at the sides where a cell has room for a line of text.
  const bigCell = Math.max(6, Math.min(32, Math.floor(416 / size)));
  const margin = bigCell >= 11 ? 84 : 0;
  const edge = margin + size * bigCell;
  const big = byId("head");
  let cursor = null;
  const cut = (label) => (label.length > 12 ? label.slice(0, 11) + "…" : label);
  const drawBig = () => {
    const density = window.devicePixelRatio || 1;
    big.width = big.height = Math.round(edge * density);
    big.style.width = edge + "px";
    const context = big.getContext("2d");
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
    context.scale(density, density);
    context.fillStyle = ink;
    context.font = "12px ui-monospace, monospace";
    context.textBaseline = "middle";
    for (let at = 0; margin && at < size; at++) {
      const middle = margin + (at + 0.5) * bigCell;
      context.textAlign = "right";
      context.fillText(cut(tokens[at]), margin - 4, middle);
      context.save();
      context.translate(middle, margin - 4);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(cut(tokens[at]), 0, 0);
      context.restore();
    }
    context.translate(margin, margin);
    cells(context, chosen.layer, chosen.head, bigCell);
    context.strokeStyle = ink;
    context.lineWidth = 2;
    if (cursor) context.strokeRect(cursor[1] * bigCell + 1, cursor[0] * bigCell + 1, bigCell - 2, bigCell - 2);
  };
  const readCell = (row, column) => {
    cursor = [row, column];
    const code = codeAt(chosen.layer, chosen.head, row, column);
    byId("head-readout").textContent =
      `${quoted(tokens[row])} (position ${position(row)}) attends to ${quoted(tokens[column])} (position ${position(column)}): ${percent(code)}`;
    drawBig();
  };
  big.addEventListener("pointermove", (event) => {
    const box = big.getBoundingClientRect();
    const column = Math.floor((((event.clientX - box.left) / box.width) * edge - margin) / bigCell);
    const row = Math.floor((((event.clientY - box.top) / box.height) * edge - margin) / bigCell);
    if (row < 0 || row >= size || column < 0 || column >= size) return;
    if (column > row) byId("head-readout").textContent = `masked: ${quoted(tokens[row])} cannot see ${quoted(tokens[column])}, which comes later`;
    else if (!cursor || cursor[0] !== row || cursor[1] !== column) readCell(row, column);
  });
  big.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const [from, to] = cursor || [query, 0];
    const row = Math.max(0, Math.min(size - 1, from + move[0]));
    readCell(row, Math.max(0, Math.min(row, to + move[1])));
  });

  const showTokens = () => {
    const row = Array.from({ length: query + 1 }, (_, key) => codeAt(chosen.layer, chosen.head, query, key));
    const highest = Math.max(...row);
    document.querySelectorAll(".tokens button").forEach((button) => {
      const key = Number(button.dataset.position);
      const level = key <= query ? Math.round((share(row[key]) / (share(highest) || 1)) * (ramp().length - 1)) : 0;
      button.setAttribute("aria-pressed", String(key === query));
      button.style.background = key <= query ? ramp()[level] : "";
      button.style.color = key <= query ? (dark.matches ? data.inks.dark : data.inks.light)[level] : "";
    });
    const body = byId("next").tBodies[0];
    body.replaceChildren(
      ...top[query].map(([label, words, part]) => {
        const line = make("tr");
        const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        bar.setAttribute("class", "bar");
        bar.setAttribute("viewBox", "0 0 100 10");
        bar.setAttribute("preserveAspectRatio", "none");
        bar.setAttribute("aria-hidden", "true");
        rect.setAttribute("width", part);
        rect.setAttribute("height", 10);
        bar.append(rect);
        const name = make("td");
        name.append(make("bdi", label));
        const last = make("td");
        last.append(bar);
        line.append(name, make("td", words), last);
        return line;
      }),
    );
    byId("next-title").textContent = `After position ${position(query)}, ${quoted(tokens[query])}, the model predicts:`;
    const most = row.indexOf(highest);
    byId("head-title").textContent =
      `Layer ${chosen.layer + 1}, head ${chosen.head + 1}: ${quoted(tokens[query])} attends most to ${quoted(tokens[most])} ` +
      `(position ${position(most)}), ${percent(row[most])}. The tokens above are shaded by it, from 0 to ${percent(highest)}.`;
  };

  const grid = byId("heads");
  const thumbnails = [];
  for (let layer = 0; layer < layers; layer++) {
    grid.append(make("span", `layer ${layer + 1}`));
    for (let head = 0; head < heads; head++) {
      const button = make("button");
      const canvas = make("canvas");
      button.type = "button";
      button.title = `layer ${layer + 1}, head ${head + 1}`;
      button.setAttribute("aria-label", button.title);
      button.append(canvas);
      button.addEventListener("click", () => choose(layer, head));
      thumbnails.push({ layer, head, button, canvas });
      grid.append(button);
    }
  }
  const choose = (layer, head) => {
    chosen = { layer, head };
    thumbnails.forEach((each) => each.button.setAttribute("aria-pressed", String(each.layer === layer && each.head === head)));
    drawBig();
    showTokens();
  };
  document.querySelectorAll(".tokens button").forEach((button) =>
    button.addEventListener("click", () => {
      query = Number(button.dataset.position);
      showTokens();
    }),
  );
  document.querySelector(".lens").addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td");
    if (cell) byId("lens-readout").textContent = cell.title;
  });
  const draw = () => {
    const cell = Math.max(1, Math.ceil(64 / size));
    thumbnails.forEach(({ layer, head, canvas }) => {
      canvas.width = canvas.height = size * cell;
      cells(canvas.getContext("2d"), layer, head, cell);
    });
    choose(chosen.layer, chosen.head);
  };
  dark.addEventListener("change", draw);
  draw();
})();
