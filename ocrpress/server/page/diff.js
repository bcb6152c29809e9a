// What differs between two texts, by words, in bounded time.
//
// Words that occur once in both texts and in the same order anchor the comparison (a longest rising run of them, as
// patience sorting finds it); between anchors the shortest edit is looked for (Myers' greedy algorithm) up to a number
// of edits, beyond which the stretch counts as replaced. So a page of any length costs n log n and a bounded rest.

const MOST_EDITS = 400;
const WORD = /\n{2,}|\S+/g; // a paragraph's end counts as a word

/** The parts of the change from one text to the other: {kind: "same" | "gone" | "new", words: [...]}, in order. */
export function compare(before, after) {
  const [old, now] = [before.match(WORD) ?? [], after.match(WORD) ?? []];
  const parts = [];
  let [i, j] = [0, 0];
  for (const [oldEnd, nowEnd] of [...anchors(old, now), [old.length, now.length]]) {
    stretch(old, i, oldEnd, now, j, nowEnd, parts);
    if (oldEnd < old.length) add(parts, "same", now[nowEnd]);
    [i, j] = [oldEnd + 1, nowEnd + 1];
  }
  return parts;
}

/** How many words a list of parts takes away, adds and keeps. */
export function tally(parts) {
  const sum = { same: 0, gone: 0, new: 0 };
  for (const { kind, words } of parts) for (const word of words) if (!word.startsWith("\n")) sum[kind] += 1;
  return sum;
}

function add(parts, kind, word) {
  const last = parts.at(-1);
  if (last?.kind === kind) last.words.push(word);
  else parts.push({ kind, words: [word] });
}

/** Pairs of places of words that occur once in each text, rising in both. */
function anchors(old, now) {
  const places = once(old);
  const pairs = [];
  for (const [word, j] of once(now)) if (places.has(word)) pairs.push([places.get(word), j]);
  pairs.sort((a, b) => a[1] - b[1]);
  return longestRising(pairs);
}

function once(words) {
  const places = new Map();
  const twice = new Set();
  words.forEach((word, place) => {
    if (places.has(word)) twice.add(word);
    else if (!word.startsWith("\n")) places.set(word, place);
  });
  for (const word of twice) places.delete(word);
  return places;
}

/** The longest run of pairs whose first places rise; n log n. */
function longestRising(pairs) {
  const tops = []; // of each pile: the index of its last pair
  const below = []; // of each pair: the top of the pile to the left when it was laid
  pairs.forEach(([place], index) => {
    let [low, high] = [0, tops.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[tops[middle]][0] < place) low = middle + 1;
      else high = middle;
    }
    below[index] = low ? tops[low - 1] : -1;
    tops[low] = index;
  });
  const run = [];
  for (let index = tops.at(-1) ?? -1; index >= 0; index = below[index]) run.push(pairs[index]);
  return run.reverse();
}

/** The parts of old[i..iEnd) -> now[j..jEnd). */
function stretch(old, i, iEnd, now, j, jEnd, parts) {
  while (i < iEnd && j < jEnd && old[i] === now[j]) {
    add(parts, "same", now[j]);
    i += 1;
    j += 1;
  }
  let tail = 0;
  while (i < iEnd - tail && j < jEnd - tail && old[iEnd - tail - 1] === now[jEnd - tail - 1]) tail += 1;
  for (const [kind, word] of edits(old.slice(i, iEnd - tail), now.slice(j, jEnd - tail))) add(parts, kind, word);
  for (let place = jEnd - tail; place < jEnd; place += 1) add(parts, "same", now[place]);
}

/** The shortest edit, or a replacement of all where it is long. */
function edits(old, now) {
  const replaced = [...old.map((word) => ["gone", word]), ...now.map((word) => ["new", word])];
  if (!old.length || !now.length) return replaced;
  const trace = [];
  const most = Math.min(MOST_EDITS, old.length + now.length);
  let reach = new Map([[1, 0]]);
  for (let cost = 0; cost <= most; cost += 1) {
    trace.push(reach);
    const next = new Map();
    for (let diagonal = -cost; diagonal <= cost; diagonal += 2) {
      let x = step(reach, diagonal, cost) ? reach.get(diagonal + 1) : reach.get(diagonal - 1) + 1;
      while (x < old.length && x - diagonal < now.length && old[x] === now[x - diagonal]) x += 1;
      next.set(diagonal, x);
      if (x >= old.length && x - diagonal >= now.length) return walkBack(trace, old, now);
    }
    reach = next;
  }
  return replaced;
}

/** Whether the furthest path on a diagonal comes by a new word (true) or by one that is gone. */
function step(reach, diagonal, cost) {
  return diagonal === -cost || (diagonal !== cost && reach.get(diagonal - 1) < reach.get(diagonal + 1));
}

function walkBack(trace, old, now) {
  const found = [];
  let [x, y] = [old.length, now.length];
  for (let cost = trace.length - 1; cost >= 0; cost -= 1) {
    const diagonal = x - y;
    const came = step(trace[cost], diagonal, cost) ? diagonal + 1 : diagonal - 1;
    const [fromX, fromY] = cost ? [trace[cost].get(came), trace[cost].get(came) - came] : [0, 0];
    while (x > fromX && y > fromY) {
      x -= 1;
      y -= 1;
      found.push(["same", now[y]]);
    }
    if (cost) found.push(came > diagonal ? ["new", now[fromY]] : ["gone", old[fromX]]);
    [x, y] = [fromX, fromY];
  }
  return found.reverse();
}
