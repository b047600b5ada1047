// The rules of a participant, without a connection: the work that a command leads to, and the reply.

import { Done } from "./keys.js";
import { Reject, Retry } from "./service.js";

/** @import { Answer, Command, Context, Endpoint } from "./service.js" */
/** @import { Keys } from "./keys.js" */
/** @import { Signs } from "./signs.js" */

/**
 * A reply, as docs/wire.md has it.
 * @typedef {object} Reply
 * @property {"reply"} kind
 * @property {string} key
 * @property {string} run
 * @property {number} attempt
 * @property {Answer} answer
 * @property {unknown} [payload]
 * @property {string} [code]
 * @property {string} [reason]
 * @property {number} [after]
 */

/** Seconds after which a command is to come again whose key was worked on meanwhile. */
const BUSY_FOR = 1;

/**
 * Work on a command, and return the reply. It throws nothing that a handler throws.
 * @param {Endpoint<any, any>} endpoint
 * @param {Command} command
 * @param {Keys} keys
 * @param {number} now the server's time, in seconds since the epoch
 * @param {Signs} signs
 * @returns {Promise<Reply>}
 */
export async function replyTo(endpoint, command, keys, now, signs) {
  if (keys.horizon !== undefined && command.key_since < now - keys.horizon) {
    return reply(command, "unknown", { reason: "expired: the key is older than the keys that are kept" });
  }
  try {
    return await answered(endpoint, command, keys, signs);
  } catch (error) {
    if (error instanceof Done) {
      return reply(command, "retry", { reason: "the work under this key was done meanwhile", after: BUSY_FOR });
    }
    if (error instanceof Reject) return reply(command, "rejected", { code: error.code, payload: error.detail });
    if (error instanceof Retry) return await again(command, keys, error);
    return reply(command, "unknown", { reason: String(error).slice(0, 400) });
  }
}

/**
 * @param {Endpoint<any, any>} endpoint
 * @param {Command} command
 * @param {Keys} keys
 * @param {Signs} signs
 * @returns {Promise<Reply>}
 */
async function answered(endpoint, command, keys, signs) {
  const key = command.action_key;
  if (command.kind === "check") {
    const kept = await keys.look(key);
    if (kept?.answer === "done") return reply(command, "done", kept);
    await keys.burn(key, unlessDone);
    return reply(command, "not_done");
  }
  if (command.kind === "undo") {
    await keys.burn(key, async (db, kept) => {
      await endpoint.undo?.(endpoint.read(command.payload), kept.payload, context(command, db, signs));
    });
    return reply(command, "done");
  }
  const given = endpoint.read(command.payload);
  const kept = await keys.do(key, async (db) => {
    try {
      return { answer: "done", payload: await endpoint.work(given, context(command, db, signs)) };
    } catch (error) {
      if (!(error instanceof Reject)) throw error;
      return { answer: "rejected", code: error.code, payload: error.detail };
    }
  });
  return reply(command, kept.answer, kept);
}

/**
 * Answer a handler that wants the command again. A key of which nothing was done is burnt before `not_done` is said.
 * @param {Command} command
 * @param {Keys} keys
 * @param {Retry} wish
 * @returns {Promise<Reply>}
 */
async function again(command, keys, wish) {
  const why = { reason: wish.message, after: wish.after };
  if (command.kind !== "do" || !wish.notDone) return reply(command, "retry", why);
  try {
    await keys.burn(command.action_key, unlessDone);
  } catch (error) {
    if (!(error instanceof Done)) throw error;
    return reply(command, "retry", why);
  }
  return reply(command, "not_done", why);
}

/** Undo nothing: the key is burnt only if nothing was done under it. */
async function unlessDone() {
  throw new Done();
}

/**
 * @param {Command} command
 * @param {import("node-sqlite3-wasm").Database} db
 * @param {Signs} signs
 * @returns {Context}
 */
function context(command, db, signs) {
  return {
    key: command.action_key,
    run: command.run,
    attempt: command.attempt,
    db,
    trace: command.trace ?? {},
    heartbeat: () => signs.beat(),
    progress: (value) => signs.progress(value),
  };
}

/**
 * Return a reply of at most `most` bytes: in place of one that is too large a refusal without its detail, or `unknown`.
 * @param {Command} command
 * @param {Reply} full
 * @param {number} most
 * @returns {Reply}
 */
export function replyThatFits(command, full, most) {
  const size = Buffer.byteLength(JSON.stringify(full));
  if (size <= most) return full;
  if (full.answer === "rejected") return reply(command, "rejected", { code: full.code });
  const reason = `the reply is too large: ${size} bytes of ${most}; reply with a reference to large data`;
  return reply(command, "unknown", { reason });
}

/**
 * @param {Command} command
 * @param {Answer} answer
 * @param {Partial<Pick<Reply, "payload" | "code" | "reason" | "after">>} [more]
 * @returns {Reply}
 */
function reply(command, answer, { payload, code, reason, after } = {}) {
  const { key, run, attempt } = command;
  return { kind: "reply", key, run, attempt, answer, payload, code, reason, after }; // JSON leaves out undefined
}
