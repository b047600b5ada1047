// The names on the wire, and commands as they come: docs/wire.md.

/** @import { Command, Kind } from "./service.js" */

const NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;
const ID = /^[A-Za-z0-9_=-]+$/;

/** Names of streams and subjects under a namespace; none by default. */
export class Names {
  /** @param {string} [namespace] */
  constructor(namespace = "") {
    this.namespace = namespace;
  }

  /** @param {string} name */
  stream(name) {
    return this.namespace ? `${this.namespace}_${name}` : name;
  }

  /** @param {string} subject */
  subject(subject) {
    return this.namespace ? `${this.namespace}.${subject}` : subject;
  }

  /**
   * Return `{type}.{id}` of the saga that a subject for replies of a service leads to; undefined for any other subject.
   * @param {string} subject
   * @param {string} service
   * @returns {string | undefined}
   */
  sagaOf(subject, service) {
    const head = this.subject(`sagareply.${service}.`);
    const [type, id, ...more] = subject.startsWith(head) ? subject.slice(head.length).split(".") : [];
    return type && id && !more.length && NAME.test(type) && ID.test(id) ? `${type}.${id}` : undefined;
  }
}

/**
 * Return a command as it is read. Throws for bytes that are not one, or one for another kind of endpoint.
 * @param {Uint8Array} data
 * @param {Kind} kind
 * @returns {Command}
 */
export function commandOf(data, kind) {
  const found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  for (const name of ["key", "action_key", "run", "reply_to"]) {
    if (typeof found?.[name] !== "string") throw new Error(`it has no ${name}`);
  }
  for (const name of ["key_since", "attempt", "deadline"]) {
    if (typeof found[name] !== "number") throw new Error(`it has no ${name}`);
  }
  if (!["number", "undefined"].includes(typeof found.heartbeat)) throw new Error("its heartbeat is not a number");
  if (found.kind !== kind) throw new Error(`it is a ${found.kind}, and this endpoint is for ${kind}`);
  return found;
}
