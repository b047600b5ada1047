// The example: a service that ships parcels. `node shipping.js` serves it until SIGTERM or SIGINT.

import { connectionOfEnvironment } from "./connecting.js";
import { Keys } from "./keys.js";
import { Participant } from "./participant.js";
import { Reject, endpoint } from "./service.js";

/** @import { Service } from "./service.js" */

const MOST = 10;
const COUNTRIES = ["Italy", "Norway"];
const TABLE = `
CREATE TABLE IF NOT EXISTS shipments (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  order_id TEXT NOT NULL,
  parcels INTEGER NOT NULL,
  undone INTEGER NOT NULL DEFAULT 0
)`;

/**
 * @typedef {object} Ship
 * @property {string} order
 * @property {number} parcels
 * @property {string} country
 * @property {number} packing seconds that packing takes
 */
/** @typedef {{ number: number }} Shipment */

/**
 * Return the payload of a command as an order to ship.
 * @param {any} payload
 * @returns {Ship}
 */
function readShip(payload) {
  const { order, parcels, country = "Italy", packing = 0 } = payload ?? {};
  const readable = typeof order === "string" && Number.isInteger(parcels) && typeof country === "string";
  if (!readable || typeof packing !== "number") {
    throw new Error('the command cannot be read: {"order": "7", "parcels": 2} is due');
  }
  return { order, parcels, country, packing };
}

const ship = endpoint({
  name: "ship",
  undoName: "recall",
  checkName: "shipped",
  read: readShip,
  async work({ order, parcels, country, packing }, { key, db, progress }) {
    if (!COUNTRIES.includes(country)) throw new Reject("not_served", { country });
    if (parcels > MOST) throw new Reject("too_many_parcels", { most: MOST });
    progress({ packing: parcels });
    await new Promise((resolve) => setTimeout(resolve, packing * 1_000));
    const made = db.run("INSERT INTO shipments (key, order_id, parcels) VALUES (?, ?, ?)", [key, order, parcels]);
    return /** @type {Shipment} */ ({ number: Number(made.lastInsertRowid) });
  },
  async undo(_, shipment, { db }) {
    db.run("UPDATE shipments SET undone = undone + 1 WHERE number = ?", [shipment.number]);
  },
});

/** @type {Service} */
export const shipping = { name: "shipping", endpoints: [ship] };

async function main() {
  const env = process.env;
  const keys = new Keys(env.SHIPPING_DB ?? "shipping.db", env.HORIZON ? { horizon: Number(env.HORIZON) } : {});
  keys.db.exec(TABLE);
  const connection = await connectionOfEnvironment();
  const participant = await Participant.open(connection, shipping, keys, {
    namespace: env.SAGAKIT_NAMESPACE,
    signInterval: Number(env.SIGN_INTERVAL ?? 1_000),
  });
  console.log("shipping serves");
  await new Promise((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  await participant.close();
  await keys.close();
  await connection.drain();
}

await main();
