// The participant: it takes commands from JetStream, has them worked on, and answers them.

import { AckPolicy, jetstreamManager } from "@nats-io/jetstream";
import { headers, nanos } from "@nats-io/transport-node";

import { Signs } from "./signs.js";
import { Names, commandOf } from "./wire.js";
import { replyThatFits, replyTo } from "./work.js";

/** @import { Consumer, ConsumerMessages, JetStreamManager, JsMsg } from "@nats-io/jetstream" */
/** @import { NatsConnection } from "@nats-io/transport-node" */
/** @import { Command, Endpoint, Kind, Service } from "./service.js" */
/** @import { Keys } from "./keys.js" */

/** Seconds after which a command comes again whose handler has not been seen alive. */
const ACK_WAIT = 30;
/** Milliseconds that the server keeps a request for a command, and in which it answers any other request. */
const PATIENCE = 30_000;
/** Milliseconds until a command comes again whose reply could not be stored, and until a failed call is repeated. */
const AGAIN = 1_000;
/** Bytes of a message that are left for the headers of a reply. */
const HEADERS = 4_096;
/** Milliseconds for which the difference to the server's clock is believed. */
const CLOCK_FOR = 60_000;

/** A participant that serves. Made by `Participant.open`; end it with `close`. */
export class Participant {
  #closed = false;
  /** @type {Promise<void>[]} */
  #takers = [];
  /** @type {Set<JsMsg>} */
  #inHand = new Set();
  /** @type {Set<Signs>} */
  #atWork = new Set();
  /** @type {Set<ConsumerMessages>} */
  #asked = new Set();
  #clock = { offset: 0, until: 0 };

  /**
   * @param {NatsConnection} connection
   * @param {JetStreamManager} manager
   * @param {Service} service
   * @param {Keys} keys
   * @param {Names} names
   * @param {number} signInterval
   */
  constructor(connection, manager, service, keys, names, signInterval) {
    this.connection = connection;
    this.manager = manager;
    this.js = manager.jetstream();
    this.service = service;
    this.keys = keys;
    this.names = names;
    this.signs = setInterval(() => this.#sign(), signInterval);
  }

  /**
   * Serve a service. At most `maxConcurrent` commands of each endpoint are in hand at a time; `signInterval` is how
   * many milliseconds pass between two signs that a handler lives.
   * @param {NatsConnection} connection
   * @param {Service} service
   * @param {Keys} keys
   * @param {{ namespace?: string, maxConcurrent?: number, signInterval?: number }} [options]
   */
  static async open(connection, service, keys, { namespace = "", maxConcurrent = 4, signInterval = 1_000 } = {}) {
    // the role `participant` may not ask about the account, nor about consumers: `add` is enough
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: PATIENCE });
    const participant = new Participant(connection, manager, service, keys, new Names(namespace), signInterval);
    try {
      for (const endpoint of service.endpoints) {
        await participant.#serve(endpoint, "do", endpoint.name, maxConcurrent);
        if (endpoint.undoName) await participant.#serve(endpoint, "undo", endpoint.undoName, maxConcurrent);
        if (endpoint.checkName) await participant.#serve(endpoint, "check", endpoint.checkName, maxConcurrent);
      }
    } catch (error) {
      await participant.close();
      throw error;
    }
    return participant;
  }

  /**
   * Take no more commands, and return once those in hand are answered. A command that is on its way to us meanwhile comes
   * again after ACK_WAIT.
   */
  async close() {
    this.#closed = true;
    for (const asked of this.#asked) asked.close();
    await Promise.all(this.#takers);
    clearInterval(this.signs);
  }

  /**
   * @param {Endpoint<any, any>} endpoint
   * @param {Kind} kind
   * @param {string} name
   * @param {number} maxConcurrent
   */
  async #serve(endpoint, kind, name, maxConcurrent) {
    const stream = this.names.stream("SAGA_COMMANDS");
    const made = await this.manager.consumers.add(stream, {
      durable_name: `${this.service.name}_${name}`,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT * 1_000),
      max_deliver: -1,
      max_ack_pending: -1,
      filter_subject: this.names.subject(`sagacmd.${this.service.name}.${name}`),
    });
    const consumer = this.js.consumers.getConsumerFromInfo(made);
    for (let n = 0; n < maxConcurrent; n++) this.#takers.push(this.#take(consumer, endpoint, kind));
  }

  /**
   * Take one command after the other, until the participant is closed.
   * @param {Consumer} consumer
   * @param {Endpoint<any, any>} endpoint
   * @param {Kind} kind
   */
  async #take(consumer, endpoint, kind) {
    while (!this.#closed) {
      try {
        // one command a request: a command that waits in our buffer would get no signs, and come again
        const asked = await consumer.fetch({ max_messages: 1, expires: PATIENCE });
        if (this.#closed) asked.close();
        this.#asked.add(asked);
        try {
          for await (const message of asked) await this.#handle(message, endpoint, kind);
        } finally {
          this.#asked.delete(asked);
        }
      } catch (error) {
        if (this.#closed) return;
        console.error(`${this.service.name}: tried again: ${error}`);
        await new Promise((resolve) => setTimeout(resolve, AGAIN));
      }
    }
  }

  /**
   * Acknowledge a command once its reply is stored, or let it come again.
   * @param {JsMsg} message
   * @param {Endpoint<any, any>} endpoint
   * @param {Kind} kind
   */
  async #handle(message, endpoint, kind) {
    this.#inHand.add(message);
    try {
      await this.#answer(message, endpoint, kind);
      message.ack();
    } catch (error) {
      console.error(`${message.subject}: not answered, and tried again: ${error}`);
      message.nak(AGAIN);
    } finally {
      this.#inHand.delete(message);
    }
  }

  /**
   * @param {JsMsg} message
   * @param {Endpoint<any, any>} endpoint
   * @param {Kind} kind
   */
  async #answer(message, endpoint, kind) {
    /** @type {Command} */
    let command;
    /** @type {string | undefined} */
    let saga;
    try {
      command = commandOf(message.data, kind);
      saga = this.names.sagaOf(command.reply_to, this.service.name);
      if (saga === undefined) throw new Error("its reply_to is not a subject for replies of this service");
    } catch (error) {
      await this.#bury(message, String(error));
      return;
    }
    const most = (this.connection.info?.max_payload ?? Infinity) - HEADERS;
    const reply = replyThatFits(command, await this.#work(endpoint, command), most);
    const key = reply.key.replaceAll("\r", "=0D").replaceAll("\n", "=0A"); // a header has no line breaks
    const msgID = `${saga}/${key}/${reply.attempt}/${reply.answer}`;
    await this.js.publish(command.reply_to, JSON.stringify(reply), { msgID });
  }

  /**
   * Have a command worked on, and return the reply. Meanwhile it is shown that its handler lives.
   * @param {Endpoint<any, any>} endpoint
   * @param {Command} command
   */
  async #work(endpoint, command) {
    const now = await this.#now();
    const signs = new Signs(command, performance.now());
    this.#atWork.add(signs);
    try {
      return await replyTo(endpoint, command, this.keys, now, signs);
    } finally {
      this.#atWork.delete(signs);
    }
  }

  /**
   * Keep a command that can never be worked on as a dead letter.
   * @param {JsMsg} message
   * @param {string} reason
   */
  async #bury(message, reason) {
    const fields = headers();
    fields.set("Sagakit-Reason", reason.replace(/\s+/g, " ").slice(0, 400));
    fields.set("Sagakit-Code", "InvalidInput");
    fields.set("Sagakit-By", this.service.name);
    fields.set("Sagakit-Subject", message.subject);
    fields.set("Sagakit-Id", message.headers?.get("Nats-Msg-Id") ?? "");
    const subject = this.names.subject(`sagadead.command.${this.service.name}`);
    await this.js.publish(subject, message.data, { headers: fields });
  }

  /** Show the server that handlers live, so that their commands do not come again, and tell sagas that want to know. */
  #sign() {
    for (const message of this.#inHand) message.working();
    for (const signs of this.#atWork) {
      const beat = signs.due(performance.now());
      // nobody waits for an answer: one that is lost is made up for by the next
      if (beat !== undefined) this.connection.publish(signs.command.reply_to, JSON.stringify(beat));
    }
  }

  /** Return the server's time, which is needed only if keys are kept for a time: a machine's clock may be an hour off. */
  async #now() {
    if (this.keys.horizon === undefined) return 0;
    if (performance.now() >= this.#clock.until) {
      const asked = performance.now();
      const { ts } = await this.manager.streams.info(`KV_${this.names.stream("SAGA_META")}`);
      if (!ts) throw new Error("the server does not say what time it is");
      this.#clock = { offset: Date.parse(ts) - asked, until: asked + CLOCK_FOR };
    }
    return (performance.now() + this.#clock.offset) / 1_000;
  }
}
