// The score as a piano roll and the sound as a spectrogram over one time axis, with the position that moves.

const LEFT = 46;
const AXIS = 22;
const GAP = 8;
const ROLL_SHARE = 0.52;
const PX_PER_SEC = 38;
const TILE = 2048;
const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
const BLUE = "#2a6f97";
const RED = "#b3402a";
const GREY = "#5c6670";
const LIGHT = "#d9dee3";
// From silent to loud; the colours between are mixed.
const SHADES = ["#0b0a1e", "#2a1758", "#5c1a72", "#8f2a6f", "#c33f5e", "#ea6650", "#fb9f6b", "#fdd7a0", "#fcfdd0"];

const pitchName = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

// As `page_words.clock`: 1:05 for 65 seconds, halves go up.
export function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.colours = palette();
    this.show(null);
  }

  show(piece) {
    this.piece = piece;
    this.scales = null;
    this.tiles = [];
    this.columns = 0;
    this.view = { start: 0, span: 1, width: 1 };
  }

  begin(scales) {
    this.scales = scales;
    this.tiles = [];
    this.columns = 0;
  }

  // Columns of the spectrogram, a byte a row from the lowest up.
  add(bytes) {
    const rows = this.scales.n_rows;
    for (let column = 0; column < bytes.length / rows; column++, this.columns++) {
      const tile = Math.floor(this.columns / TILE);
      this.tiles[tile] ??= newTile(rows);
      const image = this.tiles[tile].createImageData(1, rows);
      for (let row = 0; row < rows; row++) {
        const shade = this.colours[bytes[column * rows + row]];
        image.data.set(shade, (rows - 1 - row) * 4);
      }
      this.tiles[tile].putImageData(image, this.columns % TILE, 0);
    }
  }

  secondsAt(clientX) {
    const box = this.canvas.getBoundingClientRect();
    return this.view.start + ((clientX - box.left - LEFT) / this.view.width) * this.view.span;
  }

  draw(position, seconds, received) {
    if (!this.piece) return;
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    this.look(position, seconds, width - LEFT - 6);
    const rollHeight = Math.round((height - AXIS - GAP) * ROLL_SHARE);
    const power = { top: rollHeight + GAP, height: height - AXIS - GAP - rollHeight };
    this.drawRoll(pen, rollHeight);
    this.drawPower(pen, power, received);
    this.drawAxis(pen, height - AXIS);
    this.drawPosition(pen, position, height - AXIS);
  }

  // Which seconds are in view: all of a short score, otherwise some around the position.
  look(position, seconds, width) {
    const span = Math.min(Math.max(seconds, 1), Math.max(width / PX_PER_SEC, 6));
    const start = Math.min(Math.max(position - span * 0.3, 0), Math.max(seconds - span, 0));
    this.view = { start, span, width };
  }

  x(seconds) {
    return LEFT + ((seconds - this.view.start) / this.view.span) * this.view.width;
  }

  inPanel(pen, top, height, draw) {
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, top, this.view.width, height);
    pen.clip();
    draw();
    pen.restore();
    pen.strokeStyle = LIGHT;
    pen.lineWidth = 1;
    pen.strokeRect(LEFT + 0.5, top + 0.5, this.view.width - 1, height - 1);
  }

  drawRoll(pen, height) {
    const pitches = [...new Set(this.piece.notes.map((note) => note[2]))].sort((a, b) => a - b);
    const low = pitches[0] - 1.5;
    const row = height / (pitches.at(-1) + 1.5 - low);
    const y = (pitch) => height - (pitch - low) * row;
    const wrong = new Set(this.piece.wrong);
    const end = this.view.start + this.view.span;
    this.inPanel(pen, 0, height, () => {
      pen.fillStyle = "#eef1f4";
      for (const pitch of pitches) pen.fillRect(LEFT, y(pitch) - 0.5, this.view.width, 1);
      pen.fillStyle = LIGHT;
      for (const bar of this.piece.bars) pen.fillRect(this.x(bar), 0, 1, height);
      for (const [from, to, pitch] of this.piece.notes) {
        if (to < this.view.start || from > end) continue;
        this.drawNote(pen, this.x(from), this.x(to), y(pitch), Math.max(row * 0.86, 3), pitch, wrong.has(pitch));
      }
    });
    this.nameRows(pen, pitches, y, wrong);
  }

  drawNote(pen, left, right, middle, thick, pitch, wrong) {
    const wide = Math.max(right - left - 1, 2);
    pen.fillStyle = wrong ? RED : BLUE;
    pen.beginPath();
    pen.roundRect(left, middle - thick / 2, wide, thick, Math.min(3, thick / 2));
    pen.fill();
    const name = pitchName(pitch);
    if (thick < 10 || wide < pen.measureText(name).width + 6) return;
    pen.fillStyle = "#fff";
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(name, left + 4, middle + 0.5);
  }

  nameRows(pen, pitches, y, wrong) {
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    let last = Infinity;
    for (const pitch of pitches) {
      if (last - y(pitch) < 13) continue;
      last = y(pitch);
      pen.fillStyle = wrong.has(pitch) ? RED : GREY;
      pen.fillText(pitchName(pitch), LEFT - 6, last);
    }
  }

  drawPower(pen, { top, height }, received) {
    this.inPanel(pen, top, height, () => {
      pen.fillStyle = this.scales ? "#f3f5f7" : "#fafbfc";
      pen.fillRect(LEFT, top, this.view.width, height);
      if (!this.scales) return;
      const rate = this.scales.columns_per_sec;
      pen.imageSmoothingEnabled = true;
      this.tiles.forEach((tile, index) => {
        const n = Math.min(this.columns - index * TILE, TILE);
        const left = this.x((index * TILE) / rate);
        const right = this.x((index * TILE + n) / rate);
        if (right > LEFT && left < LEFT + this.view.width)
          pen.drawImage(tile.canvas, 0, 0, n, this.scales.n_rows, left, top, right - left, height);
      });
      pen.fillStyle = "rgba(255, 255, 255, .45)";
      if (received < this.columns / rate) pen.fillRect(this.x(received), top, this.view.width, height);
    });
    if (!this.scales) this.sayWaiting(pen, top, height);
    else this.nameFrequencies(pen, top, height);
  }

  sayWaiting(pen, top, height) {
    pen.fillStyle = GREY;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    let lines = ["The spectrogram appears here while it is performed."];
    if (pen.measureText(lines[0]).width > this.view.width - 12) lines = ["The spectrogram appears here", "while it is performed."];
    const first = top + height / 2 - (lines.length - 1) * 8;
    lines.forEach((line, k) => pen.fillText(line, LEFT + this.view.width / 2, first + 16 * k));
  }

  nameFrequencies(pen, top, height) {
    const [low, high] = this.scales.edges;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillStyle = GREY;
    for (const hz of [100, 200, 500, 1000, 2000, 5000, 10000]) {
      const y = top + height * (1 - (Math.log2(hz) - low) / (high - low));
      if (y > top + 6 && y < top + height - 4) pen.fillText(hz >= 1000 ? `${hz / 1000} kHz` : `${hz} Hz`, LEFT - 6, y);
    }
  }

  drawAxis(pen, top) {
    const step = [1, 2, 5, 10, 15, 30, 60].find((sec) => (sec / this.view.span) * this.view.width >= 52) ?? 120;
    pen.fillStyle = GREY;
    pen.textBaseline = "top";
    const end = this.view.start + this.view.span;
    for (let sec = Math.ceil(this.view.start / step) * step; sec <= end; sec += step) {
      const x = this.x(sec);
      pen.fillRect(x, top, 1, 4);
      pen.textAlign = x > LEFT + this.view.width - 14 ? "right" : "center";
      pen.fillText(clock(sec), x, top + 7);
    }
    pen.textAlign = "left";
    pen.fillText("min:s", 0, top + 7);
  }

  drawPosition(pen, position, height) {
    const x = this.x(position);
    if (x < LEFT - 1 || x > LEFT + this.view.width + 1) return;
    pen.fillStyle = "#fff";
    pen.fillRect(x - 2, 0, 4, height);
    pen.fillStyle = "#d9822b";
    pen.fillRect(x - 1, 0, 2, height);
  }
}

function newTile(rows) {
  const canvas = document.createElement("canvas");
  canvas.width = TILE;
  canvas.height = rows;
  return canvas.getContext("2d");
}

// 256 colours, as [red, green, blue, alpha].
function palette() {
  const stops = SHADES.map((shade) => [1, 3, 5].map((i) => parseInt(shade.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, value) => {
    const place = (value / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    const mixed = stops[below].map((colour, i) => Math.round(colour + (stops[below + 1][i] - colour) * (place - below)));
    return [...mixed, 255];
  });
}
