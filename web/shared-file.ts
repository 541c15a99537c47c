/**
 * A file in the page itself: a page that was saved with it shows it without any server.
 *
 * Theory of operation. What was saved stands in a script element that no browser runs, as JSON without any `<`: so nothing in it can end
 * the element, or begin a comment. A page that is a file has no server that says what it may do, so it says that itself.
 */

import { embeddedJson } from "../src/core/embedded-json.ts";
import { parseTrace } from "../src/trace/trace.ts";
import type { OpenedTrace } from "./open-file.ts";

/** What is in the page. */
export interface SharedFile {
  readonly name: string;
  /** A trace, line by line. */
  readonly text: string;
  /** Where in the page it is looked at: what is behind the `#` of its address. */
  readonly hash: string;
}

const ELEMENT = "shared-file";
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:";

/** This page, with a file in it, as HTML. */
export function pageWith(shared: SharedFile, page: Document): string {
  const copy = page.cloneNode(true) as Document;
  copy.getElementById("page")?.replaceChildren();
  copy.getElementById(ELEMENT)?.remove();
  // Where scripts run it is text, and in the copy they do not.
  for (const one of copy.querySelectorAll("noscript")) one.innerHTML = one.textContent ?? "";
  copy.documentElement.removeAttribute("data-theme");
  copy.title = `${shared.name} · Tidemark`;
  const element = copy.createElement("script");
  element.id = ELEMENT;
  element.type = "application/json";
  element.textContent = embeddedJson(shared);
  copy.getElementById("page")?.after(element);
  if (!copy.querySelector("meta[http-equiv]")) {
    const policy = copy.createElement("meta");
    policy.httpEquiv = "Content-Security-Policy";
    policy.content = POLICY;
    copy.head.prepend(policy);
  }
  // A line's end behind it would be read into it, and one more each time that it is saved.
  return `<!doctype html>\n${copy.documentElement.outerHTML}`;
}

/**
 * What is in this page, if something is; the page goes where it was looked at.
 * @throws Error that says what is wrong with it
 */
export function openShared(): OpenedTrace | undefined {
  const element = document.getElementById(ELEMENT);
  if (!element) return undefined;
  const { name, text, hash } = JSON.parse(element.textContent ?? "") as SharedFile;
  if (location.hash === "") history.replaceState(null, "", hash);
  return { kind: "trace", name, trace: parseTrace(text) };
}
