// A client: it starts sagas and waits for their outcomes. `node client.js TYPE ID INPUT` does both for one saga.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { jetstreamManager } from "@nats-io/jetstream";

import { connectionOfEnvironment } from "./connecting.js";
import { Names } from "./wire.js";

/** @import { JetStreamManager } from "@nats-io/jetstream" */
/** @import { NatsConnection } from "@nats-io/transport-node" */

/**
 * The end of a saga. `failure` says why it was undone, `compensated` names the steps that were.
 * @typedef {object} Outcome
 * @property {"completed" | "failed"} status
 * @property {unknown} [output]
 * @property {{ cause: string, code?: string, detail?: unknown, step?: string }} [failure]
 * @property {string[]} [compensated]
 */

/** Milliseconds between two looks: the push is a hint, and may be lost. */
const LOOK_EVERY = 1_000;

/** Starts and sees sagas of any type, on a store without shards. It needs the permissions of the role `client`. */
export class Client {
  /**
   * @param {JetStreamManager} manager
   * @param {NatsConnection} connection
   * @param {Names} names
   */
  constructor(manager, connection, names) {
    this.manager = manager;
    this.js = manager.jetstream();
    this.connection = connection;
    this.names = names;
  }

  /**
   * @param {NatsConnection} connection
   * @param {{ namespace?: string }} [options]
   */
  static async open(connection, { namespace = "" } = {}) {
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 30_000 });
    return new Client(manager, connection, new Names(namespace));
  }

  /**
   * Start a saga, once under each id: a second start with the same input changes nothing. Returns when the start is
   * durable; a worker judges it then.
   * @param {string} type
   * @param {string} id
   * @param {unknown} input
   * @param {{ messageId?: string }} [options]
   */
  async start(type, id, input, { messageId = randomUUID() } = {}) {
    const key = keyOf(type, id);
    const message = JSON.stringify({ kind: "start", input });
    await this.js.publish(this.names.subject(`sagain.${key}`), message, { msgID: `${key}/${messageId}` });
  }

  /**
   * Return the outcome of a saga, once it has one. Throws if it has none after `timeout` milliseconds.
   * @param {string} type
   * @param {string} id
   * @param {{ timeout?: number }} [options]
   * @returns {Promise<Outcome>}
   */
  async outcome(type, id, { timeout = 60_000 } = {}) {
    const key = keyOf(type, id);
    let wake = () => {};
    const subject = `$KV.${this.names.stream("SAGA_STATE")}.${key}`;
    const hints = this.connection.subscribe(subject, { callback: () => wake() });
    const giveUp = performance.now() + timeout;
    try {
      await this.connection.flush();
      while (performance.now() < giveUp) {
        const changed = new Promise((resolve) => (wake = () => resolve(undefined)));
        const found = await this.look(key); // a hint shows writes that are refused, too
        if (found) return found;
        await Promise.race([changed, sleep(LOOK_EVERY)]);
      }
      throw new Error(`${key} has no outcome after ${timeout} ms`);
    } finally {
      hints.unsubscribe();
    }
  }

  /**
   * Return the outcome of a saga; undefined if it has none yet.
   * @param {string} key `{type}.{id}`, with the id in its encoding
   * @returns {Promise<Outcome | undefined>}
   */
  async look(key) {
    const live = await this.#record("SAGA_STATE", key);
    const record = live && typeof live.outcome !== "string" ? live : await this.#record("SAGA_ARCHIVE", key);
    return record?.outcome ?? undefined;
  }

  /**
   * Return a record, or the marker that a saga has ended, whose `outcome` is a text.
   * @param {string} bucket
   * @param {string} key
   * @returns {Promise<any>}
   */
  async #record(bucket, key) {
    const name = this.names.stream(bucket);
    const found = await this.manager.streams.getMessage(`KV_${name}`, { last_by_subj: `$KV.${name}.${key}` });
    return found && found.data.length ? found.json() : undefined;
  }
}

/**
 * Return the key of a saga. An id may be any text: bytes that are not letters, digits, `_` and `-` become `=XX`.
 * @param {string} type
 * @param {string} id
 */
export function keyOf(type, id) {
  const bytes = [...new TextEncoder().encode(id)].map((byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9_-]/.test(char) ? char : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  });
  return `${type}.${bytes.join("")}`;
}

async function main() {
  const [type, id, input] = process.argv.slice(2);
  if (!type || !id || !input) throw new Error("write: node client.js TYPE ID INPUT, with an input that is JSON");
  const connection = await connectionOfEnvironment();
  const client = await Client.open(connection, { namespace: process.env.SAGAKIT_NAMESPACE });
  await client.start(type, id, JSON.parse(input));
  console.log(JSON.stringify(await client.outcome(type, id)));
  await connection.drain();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
