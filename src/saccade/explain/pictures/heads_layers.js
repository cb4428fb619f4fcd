
// What the page was given of each layer, and what is computed from it: words, the mean of heads, the strongest links.

const PLAIN = "attention weight", NUMBERS = 40, FEW = 2, LINKS = 1000;

/** The values of tokens that are an axis: times, or more than so many numbers, each greater than the one before. */
function measured(tokens, numbers) {
  const least = tokens.length && tokens[0].endsWith(" s") ? FEW : numbers;
  if (tokens.length <= least || !tokens.every(token => /^-?\d+(\.\d+)?( s)?$/.test(token))) return null;
  const values = tokens.map(parseFloat);
  return values.every((value, i) => !i || value > values[i - 1]) ? values : null;
}

/** A layer as it is read: over words or over the tokenizer's pieces, with or without special tokens. */
class Layer {
  constructor(given, { words, special }) {
    const { name, label, heads } = given;
    Object.assign(this, { given, name, heads, label: label || name, means: { of: null } });
    this.values = given.values || PLAIN;
    this.attention = this.values === PLAIN && !given.rows;
    this.sides = { queries: given.rows || "query", keys: given.columns || "key" };
    this.groups = { queries: groupsOf(given, "queries", words, special), keys: groupsOf(given, "keys", words, special) };
    this.queries = this.groups.queries.map(group => visible(group.text));
    this.keys = this.groups.keys.map(group => visible(group.text));
    this.renormalised = this.attention && !special && (given.keys_special || []).length > 0;
    // numbers that are not attention are no words, and time goes along the columns if they are an axis
    const numbers = this.values === PLAIN ? NUMBERS : FEW;
    this.axis = { queries: measured(this.queries, numbers), keys: measured(this.keys, numbers) };
    this.stepped = this.values !== PLAIN && this.axis.keys ? "keys" : "queries";
  }

  /** The weights (head, query, key) of what is shown; computed when it is first looked at. */
  get table() {
    if (this.computed) return this.computed;
    const { given, groups: { queries, keys } } = this, steps = decoded(given), columns = given.keys.length;
    const size = queries.length * keys.length, unit = given.largest / 65535, found = new Float32Array(this.heads * size);
    let at = 0;
    for (let head = 0; head < this.heads; head++)
      for (const { start, count } of queries) {
        const begun = at;
        let sum = 0;
        for (const key of keys) {
          let total = 0;
          for (let row = start; row < start + count; row++) {
            const first = (head * given.queries.length + row) * columns + key.start;
            for (let i = first; i < first + key.count; i++) total += steps[i];
          }
          sum += found[at++] = total * unit / count;
        }
        if (this.renormalised && sum > 0) for (let i = begun; i < at; i++) found[i] /= sum;
      }
    return (this.computed = found);
  }

  at(head, query, key) { return this.table[(head * this.queries.length + query) * this.keys.length + key]; }

  /** The mean over heads, and its largest; computed again only for other heads. */
  mean(heads) {
    const of = [...heads].sort((a, b) => a - b).join();
    if (this.means.of === of) return this.means;
    const size = this.queries.length * this.keys.length, values = new Float32Array(size), { table } = this;
    for (const head of heads)
      for (let i = 0, start = head * size; i < size; i++) values[i] += table[start + i];
    let largest = 0;
    for (let i = 0; i < size; i++) {
      values[i] /= Math.max(1, heads.size);
      if (values[i] > largest) largest = values[i];
    }
    return (this.means = { of, values, largest });
  }

  /** The mean over heads of the weights of one query, or of one key. */
  mine(heads, { side, number }) {
    const { values } = this.mean(heads), columns = this.keys.length;
    return side === "queries"
      ? values.subarray(number * columns, (number + 1) * columns)
      : Float32Array.from({ length: this.queries.length }, (_, row) => values[row * columns + number]);
  }

  /**
   * The links of one token or of all that have at least this share of the strongest of them, the strongest last; the
   * weight of the strongest; and how many are left out because there are too many.
   */
  links(heads, focus, share) {
    const rows = this.queries.length, columns = this.keys.length, { table } = this;
    const [top, bottom] = focus && focus.side === "queries" ? [focus.number, focus.number + 1] : [0, rows];
    const [left, right] = focus && focus.side === "keys" ? [focus.number, focus.number + 1] : [0, columns];
    const each = act => {
      for (const head of heads)
        for (let query = top; query < bottom; query++)
          for (let key = left, at = (head * rows + query) * columns + left; key < right; key++, at++) act(table[at], head, query, key);
    };
    let strongest = 0;
    each(weight => { if (weight > strongest) strongest = weight; });
    const bins = new Uint32Array(1025), floor = Math.max(strongest * share, 1e-6), scale = 1024 / Math.max(strongest, 1e-9);
    let count = 0, bin = 0;
    each(weight => { if (weight >= floor) { bins[weight * scale | 0]++; count++; } });
    let kept = count;
    for (; kept > LINKS && kept > bins[bin] && bin < 1024; bin++) kept -= bins[bin];
    const found = [];
    each((weight, head, query, key) => { if (weight >= floor && weight * scale >= bin) found.push({ head, query, key, weight }); });
    found.sort((one, two) => one.weight - two.weight);
    const links = found.slice(-LINKS);
    return { links, strongest, left: count - links.length };
  }

  /** The token, of which others are pieces or which is a piece of one, in another reading of the same layer. */
  same(other, { side, number }) {
    const group = other.groups[side][number];
    const found = group ? this.groups[side].findIndex(one => one.start <= group.start && group.start < one.start + one.count) : -1;
    return found < 0 ? null : { side, number: found };
  }

  /** Where the word of another layer's token stands in this one: at the same place of the same words, or the same occurrence. */
  matching(other, { side, number }) {
    const { words: theirs, of } = wordsOf(other, side), { words: ours, first } = wordsOf(this, side), word = of[number];
    const found = ours.join("\n") === theirs.join("\n") ? word : occurrence(ours, theirs[word], occurrencesUntil(theirs, word));
    return found in first ? { side, number: first[found] } : null;
  }
}

/** The tokens of a side as they are read, each with the place of its first piece and their number. */
function groupsOf(given, side, words, special) {
  const tokens = given[side], joined = words && given[`${side}_words`], hidden = new Set(special ? [] : given[`${side}_special`]);
  let start = 0;
  const groups = (joined || tokens.map(token => [token, 1])).map(([text, count]) => ({ text, count, start: (start += count) - count }));
  const kept = groups.filter(group => !hidden.has(group.start));
  return kept.length ? kept : groups;
}

/** The words of a side, without case, whatever it is read by; the word of each token, and the first token of each word. */
function wordsOf(layer, side) {
  const groups = groupsOf(layer.given, side, true, true), of = [], first = [];
  layer.groups[side].forEach(({ start }, number) => {
    const word = groups.findIndex(group => group.start <= start && start < group.start + group.count);
    of.push(word);
    if (!(word in first)) first[word] = number;
  });
  return { words: groups.map(group => group.text.toLowerCase()), of, first };
}

function occurrencesUntil(words, number) { return words.slice(0, number).filter(word => word === words[number]).length; }

function occurrence(words, word, count) {
  for (let i = 0; i < words.length; i++) if (words[i] === word && !count--) return i;
  return -1;
}

/** The packed weights of a layer, kept with it for all readings. */
const unpackedLayers = new WeakMap();

function decoded(given) {
  if (!unpackedLayers.has(given)) {
    const text = atob(given.weights), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    unpackedLayers.set(given, new Uint16Array(bytes.buffer));
  }
  return unpackedLayers.get(given);
}
