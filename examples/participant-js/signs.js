// The signs of life of a command in hand: heartbeats, if the command asks for them.

/** @import { Command } from "./service.js" */

/**
 * A sign of life, as docs/wire.md has it.
 * @typedef {object} Heartbeat
 * @property {"heartbeat"} kind
 * @property {string} key
 * @property {string} run
 * @property {number} attempt
 */

/** Signs in the time after which silence counts: one that is lost does no harm. */
const PER_HEARTBEAT = 3;

/** The signs of life of one command. */
export class Signs {
  #told;
  #wanted = false;

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
   * Return the message that is to be sent now, if any.
   * @param {number} now
   * @returns {Heartbeat | undefined}
   */
  due(now) {
    const regular = this.every !== undefined && now - this.#told >= this.every;
    if (!regular && !this.#wanted) return undefined;
    this.#wanted = false;
    this.#told = now;
    const { key, run, attempt } = this.command;
    return { kind: "heartbeat", key, run, attempt };
  }
}
