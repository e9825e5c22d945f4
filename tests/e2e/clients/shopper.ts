// Places an order, follows it to its end, and cancels it, with a client made of docs/openapi.
// Prints what it found as JSON. The compiler checks each path, body and answer.

import createClient from "openapi-fetch";
import type { components, paths } from "./order.js";

declare const process: { argv: string[] };
type Code = components["schemas"]["ErrorCode"];

const [baseUrl, customerId, productId, unknownId] = process.argv.slice(2);
const shop = createClient<paths>({ baseUrl });

async function place(): Promise<string> {
  const sent = {
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
    body: { customerId, items: [{ productId, quantity: 1 }] },
  };
  const { data, error } = await shop.POST("/api/v1/orders", sent);
  if (error) throw new Error(error.message);
  return data.orderId;
}

async function follow(orderId: string): Promise<string[]> {
  const sent = { params: { path: { orderId } }, parseAs: "stream" } as const;
  const { data, error } = await shop.GET("/api/v1/orders/{orderId}/events", sent);
  if (error) throw new Error(error.message);
  let text = "";
  for await (const part of data!.pipeThrough(new TextDecoderStream())) text += part;
  return [...text.matchAll(/^event: (\w+)$/gm)].map((line) => line[1]);
}

async function cancel(orderId: string): Promise<components["schemas"]["OrderView"]> {
  const sent = { params: { path: { orderId } } };
  const { data, error } = await shop.POST("/api/v1/orders/{orderId}/cancel", sent);
  if (error) throw new Error(error.message);
  return data;
}

async function codeOf(orderId: string): Promise<Code | undefined> {
  const { error } = await shop.GET("/api/v1/orders/{orderId}", { params: { path: { orderId } } });
  return error?.error;
}

const orderId = await place();
const events = await follow(orderId);
const { status, cancellation } = await cancel(orderId);
const unknown: Code | undefined = await codeOf(unknownId);
console.log(JSON.stringify({ events, status, cancellation: cancellation?.state, unknown }));
