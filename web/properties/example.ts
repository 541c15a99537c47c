/** A trace to ask, for whoever has none: two processes that both believe to lead, for a moment that no clock saw. */

import { parseTrace } from "../../src/trace/trace.ts";
import type { OpenedTrace } from "../open-file.ts";

/** a hands over to b, by way of c; but c says so to b before a has stopped. */
const LINES = `
{"process":"a","type":"internal","text":"leads","values":{"leads":true,"term":1}}
{"process":"b","type":"internal","text":"follows","values":{"leads":false,"term":1}}
{"process":"c","type":"internal","text":"follows","values":{"leads":false,"term":1}}
{"process":"a","type":"send","to":"c","message":"over to b","text":"hands over"}
{"process":"c","type":"receive","from":"a","message":"over to b"}
{"process":"a","type":"internal","text":"stops","values":{"leads":false}}
{"process":"c","type":"send","to":"b","message":"lead","text":"tells b"}
{"process":"b","type":"receive","from":"c","message":"lead","text":"leads","values":{"leads":true,"term":2}}
{"process":"b","type":"send","to":"a","message":"term 2"}
{"process":"a","type":"receive","from":"b","message":"term 2","values":{"term":2}}`;

export const EXAMPLE_EXPRESSION = "count(leads) > 1";

export const exampleTrace = (): OpenedTrace => ({
  ...{ kind: "trace", name: "two leaders", trace: parseTrace(LINES, "two leaders") },
});
