

// What the page was given of each layer, and what is computed of it: the mean of heads, the strongest links.

const PLAIN = "attention weight", NUMBERS = 40, FEW = 2, LINKS = 1000;

/** The values of tokens that are an axis: times, or more than so many numbers, each greater than the one before. */
function measured(tokens, numbers) {
  const least = tokens.length && tokens[0].endsWith(" s") ? FEW : numbers;
  if (tokens.length <= least || !tokens.every(token => /^-?\d+(\.\d+)?( s)?$/.test(token))) return null;
  const values = tokens.map(parseFloat);
  return values.every((value, i) => !i || value > values[i - 1]) ? values : null;
}

class Layer {
  constructor(given) {
    const { name, heads, queries, keys, largest } = given;
    Object.assign(this, { given, name, heads, largest, unit: largest / 65535 });
    Object.assign(this, { queries: queries.map(visible), keys: keys.map(visible) });
    this.values = given.values || PLAIN;
    this.sides = { queries: given.rows || "looks", keys: given.columns || "is looked at" };
    // of what is no attention, numbers are no words, and time goes along the columns where they are an axis
    const numbers = this.values === PLAIN ? NUMBERS : FEW;
    this.axis = { queries: measured(queries, numbers), keys: measured(keys, numbers) };
    this.stepped = this.values !== PLAIN && this.axis.keys ? "keys" : "queries";
    this.means = { of: null };
  }

  /** Of all heads, rows and columns, in units; decoded when it is first looked at. */
  get steps() {
    if (!this.decoded) {
      const text = atob(this.given.weights), bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      this.decoded = new Uint16Array(bytes.buffer);
    }
    return this.decoded;
  }

  at(head, query, key) {
    return this.steps[(head * this.queries.length + query) * this.keys.length + key] * this.unit;
  }

  /** The mean over heads, and its largest; made anew only where they are others. */
  mean(heads) {
    const of = [...heads].sort((a, b) => a - b).join();
    if (this.means.of === of) return this.means;
    const size = this.queries.length * this.keys.length, values = new Float32Array(size), steps = this.steps;
    for (const head of heads) {
      const start = head * size;
      for (let i = 0; i < size; i++) values[i] += steps[start + i];
    }
    const unit = this.unit / Math.max(1, heads.size);
    let largest = 0;
    for (let i = 0; i < size; i++) {
      values[i] *= unit;
      if (values[i] > largest) largest = values[i];
    }
    return (this.means = { of, values, largest });
  }

  /** The mean over heads of the looks of one token, or at it. */
  mine(heads, { side, number }) {
    const { values } = this.mean(heads), columns = this.keys.length;
    return side === "queries"
      ? values.subarray(number * columns, (number + 1) * columns)
      : Float32Array.from({ length: this.queries.length }, (_, row) => values[row * columns + number]);
  }

  /** The links that are at least so strong, of one token or of all, the strongest last; and how many are left out. */
  links(heads, focus, least) {
    const rows = this.queries.length, columns = this.keys.length, steps = this.steps;
    const [top, bottom] = focus && focus.side === "queries" ? [focus.number, focus.number + 1] : [0, rows];
    const [left, right] = focus && focus.side === "keys" ? [focus.number, focus.number + 1] : [0, columns];
    const floor = Math.max(1, Math.ceil(least / this.unit - 1e-6)), bins = new Uint32Array(4096);
    let count = 0;
    for (const head of heads)
      for (let query = top; query < bottom; query++) {
        const start = (head * rows + query) * columns;
        for (let key = left; key < right; key++)
          if (steps[start + key] >= floor) { bins[steps[start + key] >> 4]++; count++; }
      }
    let bound = floor, kept = count;
    for (let bin = 0; kept > LINKS && kept > bins[bin] && bin < 4095; bin++) {
      kept -= bins[bin];
      bound = Math.max(bound, (bin + 1) << 4);
    }
    const found = [];
    for (const head of heads)
      for (let query = top; query < bottom; query++) {
        const start = (head * rows + query) * columns;
        for (let key = left; key < right; key++)
          if (steps[start + key] >= bound) found.push({ head, query, key, weight: steps[start + key] * this.unit });
      }
    found.sort((one, two) => one.weight - two.weight);
    const links = found.slice(-LINKS);
    return { links, left: count - links.length };
  }
}
