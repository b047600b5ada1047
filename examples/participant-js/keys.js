// The keys: what was done under which key, in a table beside the business data, in the same transaction as the work.

import { rmSync } from "node:fs";

import sqlite from "node-sqlite3-wasm";

/** @import { Kept } from "./service.js" */
/** @typedef {import("node-sqlite3-wasm").Database} Database */

const TABLE = `
CREATE TABLE IF NOT EXISTS sagakit_keys (
  key TEXT PRIMARY KEY,
  reply TEXT NOT NULL,
  since REAL NOT NULL DEFAULT (unixepoch('subsec'))
)`;
/** @type {Kept} The reply that is kept of a burnt key. */
export const GONE = { answer: "gone" };

/** Nothing was burnt: the work under the key was done meanwhile. */
export class Done extends Error {}

/**
 * Keys in a SQLite file, which belongs to **one process**: SQLite compiled to WebAssembly locks a file by a folder, and
 * a process that is killed leaves that folder behind. Work is done one command after the other: there is one connection,
 * so there is one transaction.
 *
 * `horizon` is for how many seconds a key is kept at the least; undefined for ever.
 */
export class Keys {
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * @param {string} file
   * @param {{ horizon?: number }} [options]
   */
  constructor(file, { horizon } = {}) {
    rmSync(`${file}.lock`, { recursive: true, force: true });
    this.db = new sqlite.Database(file);
    this.horizon = horizon;
    this.db.exec(TABLE);
  }

  /**
   * Do the work under a key once, and return what is kept. If `work` throws, nothing is kept.
   * What was written before a refusal is rolled back; the refusal itself is kept.
   * @param {string} key
   * @param {(db: Database) => Promise<Kept>} work
   * @returns {Promise<Kept>}
   */
  do(key, work) {
    return this.#transaction(async () => {
      const found = this.#find(key);
      if (found) return found;
      this.db.exec("SAVEPOINT work");
      const kept = await work(this.db);
      if (kept.answer !== "done") this.db.exec("ROLLBACK TO work");
      this.#keep(key, kept);
      return kept;
    });
  }

  /**
   * Undo what was done under a key, and burn the key, whether or not anything was done under it.
   * @param {string} key
   * @param {(db: Database, kept: Kept) => Promise<void>} undo called only if something was done
   * @returns {Promise<void>}
   */
  burn(key, undo) {
    return this.#transaction(async () => {
      const kept = this.#find(key);
      if (kept?.answer === "done") await undo(this.db, kept);
      this.#keep(key, GONE);
    });
  }

  /**
   * Return what is kept of a key, after the work that is under way.
   * @param {string} key
   * @returns {Promise<Kept | undefined>}
   */
  look(key) {
    return this.#transaction(async () => this.#find(key));
  }

  /** Close the file, once all work has ended. */
  async close() {
    await this.#last;
    this.db.close();
  }

  /**
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  #transaction(work) {
    const turn = this.#last.then(async () => {
      this.db.exec("BEGIN IMMEDIATE");
      try {
        const result = await work();
        this.db.exec("COMMIT");
        return result;
      } catch (error) {
        if (this.db.inTransaction) this.db.exec("ROLLBACK");
        throw error;
      }
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /**
   * @param {string} key
   * @returns {Kept | undefined}
   */
  #find(key) {
    const row = this.db.get("SELECT reply FROM sagakit_keys WHERE key = ?", [key]);
    return row ? JSON.parse(String(row.reply)) : undefined;
  }

  /**
   * @param {string} key
   * @param {Kept} kept
   */
  #keep(key, kept) {
    const sql = "INSERT INTO sagakit_keys (key, reply) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET reply = excluded.reply";
    this.db.run(sql, [key, JSON.stringify(kept)]);
  }
}
