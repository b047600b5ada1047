// A service with its endpoints, and what a handler may answer. The contract is docs/participants.md.

/** @typedef {"do" | "undo" | "check"} Kind */
/** @typedef {"done" | "rejected" | "not_done" | "gone" | "retry" | "unknown"} Answer */

/**
 * A command, as docs/wire.md has it.
 * @typedef {object} Command
 * @property {Kind} kind
 * @property {string} key
 * @property {string} action_key
 * @property {number} key_since
 * @property {string} run
 * @property {number} attempt
 * @property {number} deadline
 * @property {string} reply_to
 * @property {unknown} payload
 * @property {number} [heartbeat] seconds within which a sign of life is due while the work goes on
 * @property {Record<string, string>} [trace]
 */

/**
 * The reply that settles a key, as it is kept.
 * @typedef {object} Kept
 * @property {"done" | "rejected" | "gone"} answer
 * @property {unknown} [payload]
 * @property {string} [code]
 */

/**
 * A command as its handler sees it. Write through `db`: what is written and the key are one transaction.
 * @typedef {object} Context
 * @property {string} key
 * @property {string} run
 * @property {number} attempt
 * @property {import("node-sqlite3-wasm").Database} db
 * @property {Record<string, string>} trace
 * @property {() => void} heartbeat has a heartbeat sent soon: for work that keeps the event loop busy, between two parts
 * @property {(value: unknown) => void} progress has it told how far the work has come, as a small JSON value
 */

/**
 * An action with its undo and its check. `read` returns the payload of a command, typed, and throws if it cannot be
 * read. `undo` is called only for what was done, and once. A check needs no handler: the keys know the answer.
 * @template Q
 * @template R
 * @typedef {object} Endpoint
 * @property {string} name
 * @property {string} [undoName]
 * @property {string} [checkName]
 * @property {(payload: unknown) => Q} read
 * @property {(command: Q, ctx: Context) => Promise<R>} work
 * @property {(command: Q, result: R, ctx: Context) => Promise<void>} [undo]
 */

/**
 * A service, and its endpoints.
 * @typedef {object} Service
 * @property {string} name
 * @property {Endpoint<any, any>[]} endpoints
 */

/** A refusal of a handler, as a matter of business: it is kept, and the saga turns back. */
export class Reject extends Error {
  /**
   * @param {string} code
   * @param {Record<string, unknown>} [detail]
   */
  constructor(code, detail = {}) {
    super(code);
    this.code = code;
    this.detail = detail;
  }
}

/** A handler's wish that the command comes again. With `notDone` nothing was done, and the key is burnt. */
export class Retry extends Error {
  /**
   * @param {string} reason
   * @param {{ after?: number, notDone?: boolean }} [options] `after` is in seconds
   */
  constructor(reason, { after, notDone = false } = {}) {
    super(reason);
    this.after = after;
    this.notDone = notDone;
  }
}

/**
 * Return an endpoint. This only helps the type checker to infer the types of command and result.
 * @template Q
 * @template R
 * @param {Endpoint<Q, R>} one
 * @returns {Endpoint<Q, R>}
 */
export function endpoint(one) {
  return one;
}
