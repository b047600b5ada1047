// The signs of life of a command in hand: heartbeats, if the command asks for them, and how far the work has come.

/** @import { Command } from "./service.js" */

/**
 * A sign of life, as docs/wire.md has it.
 * @typedef {object} Heartbeat
 * @property {"heartbeat"} kind
 * @property {string} key
 * @property {string} run
 * @property {number} attempt
 * @property {unknown} [payload] how far the work has come
 */

/** Signs in the time after which silence counts: one that is lost does no harm. */
const PER_HEARTBEAT = 3;
/** Milliseconds between two messages that say how far the work has come: each of them costs the saga a write. */
const PROGRESS_EVERY = 5_000;
/** Bytes of JSON that such a word may have. */
const MAX_PROGRESS = 4_096;

/** The signs of life of one command. */
export class Signs {
  #told;
  #wanted = false;
  #progressed = -Infinity;
  /** @type {unknown} */
  #progress;

  /**
   * @param {Command} command
   * @param {number} began when the work began, in milliseconds, on the clock that `due` gets
   */
  constructor(command, began) {
    this.command = command;
    this.every = command.heartbeat === undefined ? undefined : (command.heartbeat * 1_000) / PER_HEARTBEAT;
    this.#told = began;
  }

  /** Have a heartbeat sent soon, if the command asks for heartbeats. */
  beat() {
    this.#wanted = this.every !== undefined;
  }

  /**
   * Have it told soon how far the work has come; of several values the last one. Throws for one that is too large.
   * @param {unknown} value
   */
  progress(value) {
    const size = new TextEncoder().encode(JSON.stringify(value)).length;
    if (size > MAX_PROGRESS) throw new RangeError(`progress has ${size} bytes as JSON: at most ${MAX_PROGRESS}`);
    this.#progress = value;
  }

  /**
   * Return the message that is to be sent now, if any.
   * @param {number} now
   * @returns {Heartbeat | undefined}
   */
  due(now) {
    const regular = this.every !== undefined && now - this.#told >= this.every;
    const payload = now - this.#progressed >= PROGRESS_EVERY ? this.#progress : undefined;
    if (!regular && !this.#wanted && payload === undefined) return undefined;
    if (payload !== undefined) {
      this.#progress = undefined;
      this.#progressed = now;
    }
    this.#wanted = false;
    this.#told = now;
    const { key, run, attempt } = this.command;
    return { kind: "heartbeat", key, run, attempt, payload }; // JSON leaves out undefined
  }
}
