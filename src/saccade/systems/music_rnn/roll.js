// A piano roll: the colour is the probability of a note, and what was played is outlined; a button plays it.

pictures["music_rnn.roll"] = (holder, data, tools) => {
  const length = data.expected.length, count = data.labels.length, left = 34, high = 9;
  const wide = Math.max(4, Math.min(12, (holder.clientWidth - left - 4) / length)), width = left + length * wide + 4, height = count * high + 34;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "play" });
  holder.append(button);
  const scroll = document.createElement("div");
  scroll.style.overflowX = "auto";
  holder.append(scroll);
  const svg = sheet(scroll, width, height, tools.description), caption = reading(holder, "Point at a note to read its probability.");
  const top = pitch => (count - 1 - (pitch - data.lowest)) * high;
  data.expected.forEach((row, t) => row.forEach((chance, i) => {
    const cell = svg.append("rect").attr("x", left + t * wide).attr("y", (count - 1 - i) * high).attr("width", wide + 0.3).attr("height", high + 0.3).attr("fill", ramp()(chance));
    cell.node().onpointerenter = () => { caption.textContent = `${data.labels[i]}, quarter ${t + 1}: ${short(chance)}`; };
  }));
  data.labels.forEach((name, i) => {
    if ([0, 7].includes((data.lowest + i) % 12)) svg.append("text").attr("x", left - 4).attr("y", (count - i) * high).attr("text-anchor", "end").attr("font-size", 10).text(name);
  });
  const played = data.notes.map(([pitch, start, end]) => svg.append("rect").attr("x", left + start * wide).attr("y", top(pitch)).attr("width", (end - start) * wide)
    .attr("height", high).attr("fill", "none").attr("stroke", "#d55e00").attr("stroke-width", 1.4).attr("pointer-events", "none"));
  if (data.given) svg.append("line").attr("x1", left + data.given * wide).attr("x2", left + data.given * wide).attr("y2", count * high).attr("stroke", "currentColor").attr("stroke-dasharray", "4 3");
  for (let t = 0; t < length; t += Math.max(4, 4 * Math.ceil(6 / wide))) svg.append("text").attr("x", left + t * wide).attr("y", count * high + 13).attr("font-size", 10).text(t + 1);
  svg.append("text").attr("x", width - 4).attr("y", count * high + 29).attr("text-anchor", "end").text("quarter note");

  let sound = null;
  const stop = () => {
    sound?.close();
    sound = null;
    button.textContent = "play";
    played.forEach(note => note.attr("fill", "none"));
  };
  button.onclick = () => {
    if (sound) return stop();
    const own = sound = new AudioContext(), beat = 60 / data.tempo, begin = own.currentTime + 0.1, out = own.createGain();
    out.gain.value = 0.12;
    out.connect(own.destination);
    button.textContent = "stop";
    data.notes.forEach(([pitch, start, end]) => {
      const tone = own.createOscillator(), gain = own.createGain(), from = begin + start * beat, to = begin + end * beat;
      tone.type = "triangle";
      tone.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
      gain.gain.setValueAtTime(0, from);
      gain.gain.linearRampToValueAtTime(1, from + 0.02);
      gain.gain.setValueAtTime(0.8, Math.max(from + 0.02, to - 0.03));
      gain.gain.linearRampToValueAtTime(0, to);
      tone.connect(gain).connect(out);
      tone.start(from);
      tone.stop(to);
    });
    const follow = () => {
      if (sound !== own) return;
      if (!holder.isConnected) return stop();
      const now = (own.currentTime - begin) / beat;
      data.notes.forEach(([, start, end], number) => played[number].attr("fill", start <= now && now < end ? "#d55e00" : "none"));
      if (now > length) return stop();
      requestAnimationFrame(follow);
    };
    follow();
  };
};
