// The connection to NATS, as the environment says it.

import { connect } from "@nats-io/transport-node";

/**
 * Connect to `NATS_URL`, as `NATS_USER` with `NATS_PASSWORD` if they are set, and keep the connection up for ever.
 * `NATS_INBOX_PREFIX` is the head of the subjects on which answers come: a role's permissions name it.
 */
export function connectionOfEnvironment() {
  const { NATS_URL, NATS_USER, NATS_PASSWORD, NATS_INBOX_PREFIX } = process.env;
  return connect({
    servers: NATS_URL ?? "nats://localhost:4222",
    user: NATS_USER,
    pass: NATS_PASSWORD,
    inboxPrefix: NATS_INBOX_PREFIX,
    maxReconnectAttempts: -1,
  });
}
