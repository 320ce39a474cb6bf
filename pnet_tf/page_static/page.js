// The player: draws the score, fetches a performance while it is made, plays it, and ends with an audio element that holds it.

import { clock, Picture } from "./picture.js";
import { Sound } from "./sound.js";
import { messagesOf } from "./stream.js";

const $ = (id) => document.getElementById(`pnet-${id}`);
const NO_SOUND = "Stopped before any sound.";

class Player {
  constructor() {
    this.sound = new Sound($("audio"), () => this.refresh());
    this.picture = new Picture($("picture"));
    this.piece = null;
    this.performance = null;
    this.connectControls();
    new ResizeObserver(() => this.refresh()).observe($("stage"));
    this.tick();
  }

  connectControls() {
    $("play").addEventListener("click", () => this.sound.toggle());
    $("stop").addEventListener("click", () => this.stop());
    $("position").addEventListener("input", () => this.sound.seek(Number($("position").value)));
    $("stage").addEventListener("click", (event) => this.sound.seek(this.picture.secondsAt(event.clientX)));
    $("stage").addEventListener("keydown", (event) => this.onKey(event));
    window.addEventListener("pagehide", () => this.leave());
  }

  onKey(event) {
    const end = this.sound.seconds;
    const at = this.sound.position;
    const moves = { ArrowLeft: at - 2, ArrowRight: at + 2, ArrowDown: at - 10, ArrowUp: at + 10, Home: 0, End: end };
    if (event.key === " ") this.sound.toggle();
    else if (event.key in moves) this.sound.seek(moves[event.key]);
    else return;
    event.preventDefault();
  }

  // A score as it is going to be played, or null for none.
  show(piece) {
    const same = JSON.stringify(piece) === JSON.stringify(this.piece);
    if (same && this.performance && !this.performance.over) return; // told late what is played already
    this.leave();
    this.piece = piece;
    this.sound.clear();
    this.picture.show(piece);
    $("player").hidden = !piece;
    $("files").hidden = true;
    $("png").hidden = true;
    $("work").hidden = true;
    this.say("");
    this.sayLater("");
    if (!piece) return;
    $("title").textContent = piece.title;
    $("picture").setAttribute("aria-label", `Piano roll and spectrogram: ${piece.summary}`);
    this.refresh();
  }

  // The same score in another way: what is heard already goes on until it is performed anew.
  propose(piece) {
    if (!this.performance && !this.sound.received) this.show(piece);
    else if (!piece || JSON.stringify(piece) === JSON.stringify(this.piece)) this.sayLater("");
    else {
      const what = piece.voice === this.piece?.voice ? "the change" : `the ${piece.voice}`;
      this.sayLater(`The player still has what was chosen before; press Perform to hear ${what}.`);
    }
  }

  sayLater(words) {
    $("later").textContent = words;
    $("later").hidden = !words;
  }

  // A performance that was asked for: {url, name, piece}, or null where it was refused.
  async listen(performance) {
    if (!performance) return;
    this.leave();
    this.show(performance.piece);
    const mine = { ...performance, abort: new AbortController(), over: false };
    this.performance = mine;
    $("work").hidden = false;
    $("progress").removeAttribute("value");
    this.say("Asking for the performance.");
    $("player").scrollIntoView({ block: "nearest" });
    try {
      const answer = await fetch(`${mine.url}/live`, { signal: mine.abort.signal });
      if (!answer.ok) throw new Error(await answer.text());
      for await (const [kind, payload] of messagesOf(answer.body)) {
        if (this.performance !== mine) return;
        this.take(mine, kind, payload);
      }
      if (!mine.over) throw new Error("The connection to the server broke.");
    } catch (error) {
      if (this.performance === mine && !mine.over) this.end(mine, error.message, true);
    }
  }

  take(mine, kind, payload) {
    if (kind === "s") {
      this.sound.add(payload);
      const share = this.sound.received / this.sound.total;
      $("progress").value = share;
      this.say(`Performing: ${clock(this.sound.receivedSeconds)} of ${clock(this.sound.seconds)}.`);
    } else if (kind === "c") this.picture.add(payload);
    else this.hear(mine, JSON.parse(new TextDecoder().decode(payload)));
  }

  hear(mine, told) {
    if (told.type === "waiting") this.say(told.preparing ? "The voices are getting ready." : told.words);
    if (told.type === "begun") {
      this.sound.begin(told.n_samples, told.rate_hz);
      this.picture.begin(told);
      this.say("Drawing the first bars.");
      this.sound.play();
    }
    if (told.type === "finished") this.finish(mine, told);
    if (told.type === "drawn") {
      $("png").href = `${mine.url}/picture.png`;
      $("png").download = `${mine.name}.png`;
      $("png").hidden = false;
    }
    if (told.type === "failed") this.end(mine, told.message, true);
    if (told.type === "stopped") this.end(mine, this.sound.received ? "Stopped." : NO_SOUND, false);
  }

  finish(mine, told) {
    mine.over = true;
    this.sound.complete(`${mine.url}/sound.wav`, told.change_db);
    $("wav").href = `${mine.url}/sound.wav`;
    $("wav").download = `${mine.name}.wav`;
    $("files").hidden = false;
    $("work").hidden = true;
    this.say("Performed to the end.");
  }

  end(mine, words, bad) {
    mine.over = true;
    this.sound.cut();
    $("work").hidden = true;
    this.say(words, bad);
    this.refresh();
  }

  stop() {
    if (!this.performance) return;
    const mine = this.performance;
    this.leave();
    const heard = this.sound.received > 0;
    this.end(mine, heard ? "Stopped. What was performed so far can be heard." : NO_SOUND, false);
    if (heard) $("play").focus();
  }

  // Nobody listens any more: the server is told, and would notice by itself.
  leave() {
    const mine = this.performance;
    this.performance = null;
    if (!mine || mine.over) return;
    navigator.sendBeacon(`${mine.url}/stop`);
    mine.abort.abort();
  }

  say(words, bad = false) {
    if ($("status").textContent !== words) $("status").textContent = words;
    $("status").classList.toggle("pnet-bad", bad);
  }

  refresh() {
    if (!this.piece) return;
    const seconds = this.sound.seconds || this.piece.seconds;
    const at = this.sound.position;
    $("play").textContent = this.sound.wanted ? "Pause" : "Play";
    $("play").disabled = !this.sound.received;
    $("position").disabled = !this.sound.received;
    $("position").max = seconds;
    $("position").value = at;
    $("position").setAttribute("aria-valuetext", `${clock(at)} of ${clock(seconds)}`);
    $("clock").textContent = `${clock(at)} / ${clock(seconds)}`;
    this.picture.draw(at, Math.max(seconds, this.piece.seconds), this.sound.receivedSeconds);
  }

  tick() {
    if (this.sound.wanted) this.refresh();
    requestAnimationFrame(() => this.tick());
  }
}

// Gradio puts the page's parts in their places in its own time.
const ready = new Promise((resolve) => {
  const look = () => ($("player") && $("audio") ? resolve(new Player()) : requestAnimationFrame(look));
  look();
});

// A browser lets a page make sound once somebody has done something on it.
for (const event of ["pointerdown", "keydown"])
  document.addEventListener(event, () => ready.then((player) => player.sound.unlock()), { capture: true });
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#pnet-perform")) performance.mark("pnet-asked");
}, { capture: true });

// A file that is too large is kept back before Gradio, which would speak of it in its own way, hears of it; the server says why.
function keepBack(event, files) {
  const most = Number(document.querySelector("[data-most-bytes]")?.dataset.mostBytes ?? Infinity);
  const large = [...(files ?? [])].find((file) => file.size > most);
  if (!large || !event.target.closest?.("#pnet-upload")) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.type === "change") event.target.value = "";
  else event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));
  window.pnetPage.tooLarge = large.name;
  $("large").click();
}
document.addEventListener("change", (event) => keepBack(event, event.target.files), { capture: true });
document.addEventListener("drop", (event) => keepBack(event, event.dataTransfer?.files), { capture: true });

window.pnetPage = {
  show: async (piece) => (await ready).show(piece),
  propose: async (piece) => (await ready).propose(piece),
  listen: async (performance) => (await ready).listen(performance),
  player: ready,
};
