// A sound that is heard while it comes in: Web Audio plays what is there, and an audio element takes over once all is.

const PIECE_SEC = 0.5;
const AHEAD_SEC = 1.5;
const LEAD_SEC = 0.05;
const RAMP_SEC = 3;

export class Sound {
  constructor(audio, onChange) {
    this.audio = audio;
    this.onChange = onChange;
    this.context = null;
    for (const event of ["play", "pause", "ended", "seeked", "loadedmetadata"])
      audio.addEventListener(event, () => this.onAudio(event));
    setInterval(() => this.schedule(), 100);
    this.clear();
  }

  clear() {
    this.silence();
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    Object.assign(this, { samples: null, total: 0, received: 0, rate: 44100, wanted: false, whole: false, useAudio: false });
    Object.assign(this, { at: 0, cursor: 0, startedAt: null });
  }

  // To be called while somebody clicks or presses a key.
  unlock() {
    this.context ??= new AudioContext();
    if (!this.gain) {
      this.gain = this.context.createGain();
      this.gain.connect(this.context.destination);
    }
    if (this.context.state === "suspended") this.context.resume();
  }

  begin(total, rate) {
    this.samples = new Int16Array(total);
    this.total = total;
    this.rate = rate;
    this.unlock();
    this.gain.gain.cancelScheduledValues(0);
    this.gain.gain.value = 1;
  }

  get seconds() {
    return this.total / this.rate;
  }

  get receivedSeconds() {
    return this.received / this.rate;
  }

  get position() {
    if (this.useAudio) return this.audio.currentTime;
    if (this.startedAt === null) return this.at;
    const at = this.at + Math.max(this.context.currentTime - this.startedAt, 0);
    return Math.min(at, this.receivedSeconds);
  }

  add(bytes) {
    const view = new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1);
    const end = Math.min(this.received + view.length, this.total);
    this.samples.set(view.subarray(0, end - this.received), this.received);
    this.received = end;
    this.schedule();
    this.onChange();
  }

  // All is there, in a file whose level differs by so much from what was heard so far.
  complete(url, changeDb) {
    this.whole = true;
    this.audio.src = url;
    this.audio.load();
    const now = this.context.currentTime;
    this.gain.gain.setValueAtTime(1, now);
    this.gain.gain.linearRampToValueAtTime(10 ** (changeDb / 20), now + RAMP_SEC);
    if (!this.wanted) this.changeOver();
    this.onChange();
  }

  // No more will come.
  cut() {
    if (!this.whole) this.total = this.received;
    this.onChange();
  }

  // From the next pause or seek on the audio element plays; while sound goes on nobody should hear a seam.
  changeOver() {
    if (!this.whole || this.useAudio) return;
    const at = this.position;
    this.silence();
    this.useAudio = true;
    this.audio.currentTime = at;
  }

  toggle() {
    if (this.wanted) this.pause();
    else this.play();
  }

  play() {
    if (!this.total) return;
    this.unlock();
    if (this.position >= this.seconds - 0.05) this.seek(0);
    this.wanted = true;
    if (this.useAudio) this.audio.play();
    else this.schedule();
    this.onChange();
  }

  pause() {
    this.at = this.position;
    this.wanted = false;
    this.silence();
    this.audio.pause();
    this.changeOver();
    this.onChange();
  }

  seek(seconds) {
    if (!this.received) return;
    const at = Math.min(Math.max(seconds, 0), this.whole ? this.seconds : this.receivedSeconds);
    const wanted = this.wanted;
    this.silence();
    this.at = at;
    this.changeOver();
    if (this.useAudio) {
      this.audio.currentTime = at;
      if (wanted) this.audio.play();
    } else this.schedule();
    this.onChange();
  }

  silence() {
    for (const source of this.sources ?? []) source.stop();
    this.sources = [];
    if (this.startedAt !== null && this.context) this.at = this.position;
    this.startedAt = null;
  }

  // Hands Web Audio the next pieces, some time before they are heard.
  schedule() {
    if (!this.wanted || this.useAudio || !this.samples) return;
    if (this.startedAt === null) {
      if (this.at >= this.receivedSeconds) return this.atEnd();
      this.startedAt = this.context.currentTime + LEAD_SEC;
      this.cursor = Math.round(this.at * this.rate);
    }
    const played = this.startedAt - this.at;
    while (this.cursor < this.received && this.cursor / this.rate + played < this.context.currentTime + AHEAD_SEC) {
      const when = this.cursor / this.rate + played;
      // What came too late is no longer in its place: begin anew from where the sound stopped.
      if (when < this.context.currentTime) return this.restart();
      this.cursor += this.start(when);
    }
    if (this.cursor >= this.received && this.position >= this.receivedSeconds - 0.01) this.restart();
  }

  start(when) {
    const n = Math.min(Math.round(PIECE_SEC * this.rate), this.received - this.cursor);
    const buffer = this.context.createBuffer(1, n, this.rate);
    const channel = buffer.getChannelData(0);
    for (let i = 0; i < n; i++) channel[i] = this.samples[this.cursor + i] / 32768;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.gain);
    source.start(when);
    source.onended = () => (this.sources = this.sources.filter((other) => other !== source));
    this.sources.push(source);
    if (!performance.getEntriesByName("pnet-first-sound").length) performance.mark("pnet-first-sound");
    return n;
  }

  restart() {
    this.at = Math.min(this.cursor / this.rate, this.receivedSeconds);
    this.sources = [];
    this.startedAt = null;
    if (this.at >= this.receivedSeconds) this.atEnd();
  }

  // Everything that is there was heard: the end, or a wait for more.
  atEnd() {
    this.at = this.receivedSeconds;
    if (this.received < this.total) return;
    this.wanted = false;
    this.changeOver();
    this.onChange();
  }

  onAudio(event) {
    if (!this.useAudio) return;
    if (event === "ended" || event === "pause") this.wanted = false;
    if (event === "play") this.wanted = true;
    this.onChange();
  }
}
