/** The certificate of a snapshot, and its verdict: made here, from the bytes, and not asked of anybody. */

import { useEffect, useState } from "react";
import type { Manifest } from "../../src/snapshot/manifest.ts";
import type { Verdict } from "../../src/snapshot/verify.ts";
import { Button } from "../parts/button.tsx";
import { ScrollX } from "../parts/scroll-x.tsx";
import { byteSize, counted, grouped } from "../parts/words.ts";
import { bytesToProve, prove } from "./proof.ts";
import { isFileName, type Source } from "./source.ts";

/** More is read when somebody asks. */
const UNASKED_BYTES_MAX = 8 << 20;
const CHANNELS_SHOWN = 100;

/** What is known of a proof. */
export interface ProofState {
  readonly verdict: Verdict | undefined;
  readonly problem: string | undefined;
  /** Bytes that have been read, while it is being made. */
  readonly done: number | undefined;
  readonly bytes: number;
  start(): void;
}

/** Proves it at once if it is small. */
export function useProof(source: Source): ProofState {
  const bytes = bytesToProve(source.manifest);
  const isUnasked = bytes <= UNASKED_BYTES_MAX;
  const [count, setCount] = useState(isUnasked ? 1 : 0);
  const [verdict, setVerdict] = useState<Verdict | undefined>(undefined);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const [done, setDone] = useState<number | undefined>(isUnasked ? 0 : undefined);
  useEffect(() => {
    if (count === 0) return;
    const over = new AbortController();
    setDone(0);
    setVerdict(undefined);
    setProblem(undefined);
    const ifWanted = (set: () => void) => over.signal.aborted || set();
    prove(source, over.signal, (bytes) => ifWanted(() => setDone(bytes)))
      .then(
        (found) => ifWanted(() => setVerdict(found)),
        (error: Error) => ifWanted(() => setProblem(error.message)),
      )
      .finally(() => ifWanted(() => setDone(undefined)));
    return () => over.abort();
  }, [source, count]);
  return { verdict, problem, done, bytes, start: () => setCount((before) => before + 1) };
}

/** The verdict in one line. */
export function VerdictLine({ proof }: { readonly proof: ProofState }) {
  const { verdict, problem, done, bytes, start } = proof;
  if (verdict?.consistent)
    return (
      <p className="verdict good" role="status">
        ✓ Consistent: {counted(verdict.channels, "channel")} of{" "}
        {counted(verdict.processes, "process", "processes")} with{" "}
        {counted(verdict.inFlight, "message")} in flight, proven here from {byteSize(bytes)}.
      </p>
    );
  if (verdict)
    return (
      <p className="verdict bad" role="alert">
        ✗ Not proven consistent: {verdict.place} {verdict.reason}
      </p>
    );
  if (problem !== undefined)
    return (
      <p className="verdict bad" role="alert">
        The proof could not be made: {problem} <Button onClick={start}>Try again</Button>
      </p>
    );
  if (done !== undefined)
    return (
      <p className="verdict" role="status">
        <progress max={Math.max(1, bytes)} value={done} aria-label="Proof" /> {byteSize(done)} of{" "}
        {byteSize(bytes)} proven…
      </p>
    );
  return (
    <p className="verdict">
      <Button onClick={start}>Prove it here</Button>{" "}
      <span className="dim">reads all {byteSize(bytes)} of it</span>
    </p>
  );
}

export function CertificatePanel({
  source,
  proof,
}: {
  readonly source: Source;
  readonly proof: ProofState;
}) {
  const rows = channelRows(source.manifest);
  return (
    <>
      <div className="columns prose">
        <section aria-label="What is proven">
          <h3>
            {proof.verdict?.consistent ? "What this proves" : "What the proof says if it holds"}
          </h3>
          <p>
            For every channel p → q the snapshot says how many messages p had sent and q had
            received when they recorded, with a hash over them, and holds those in flight. This page
            took the hash of q on over the messages in flight, and compared it with that of p.
          </p>
          <p>
            So no message was received that was not sent: the cut is <em>consistent</em>. And the
            messages in flight are all there were: the channels are <em>complete</em>. Every part
            has the SHA-256 that the manifest says.
          </p>
        </section>
        <section aria-label="What is not proven">
          <h3>What it does not</h3>
          <p>
            That a state is what the process held: it is as it was written, and no more is known.
            Whose it is, label and times are the word of the manifest.
          </p>
          <p>
            It is no signature: whoever rewrites a whole snapshot can make it fit.
            {isFileName(source.name)
              ? " The page has read the file by itself, and asked nobody."
              : " And this page came from the same server as the bytes. Download the file, and open it in a page of your own, if you do not trust that."}
          </p>
        </section>
      </div>
      {proof.verdict && (
        <p>
          <Button onClick={proof.start}>Prove it again</Button>
        </p>
      )}
      <ScrollX label="Channels">
        <table aria-label="What both ends of each channel say">
          <thead>
            <tr>
              <th>Channel</th>
              <th className="number">Sent</th>
              <th className="number">Received</th>
              <th className="number">In flight</th>
              <th>Hash at the sender</th>
              <th>Hash at the receiver</th>
            </tr>
          </thead>
          <tbody>
            {rows
              .slice(0, CHANNELS_SHOWN)
              .map(({ from, to, sent, received, inFlight, hash, receivedHash }) => (
                <tr key={`${from} ${to}`}>
                  <th scope="row">
                    {from} → {to}
                  </th>
                  <td className="number">{sent === undefined ? "" : grouped(sent)}</td>
                  <td className="number">{grouped(received)}</td>
                  <td className="number">{grouped(inFlight)}</td>
                  <td className="mono hash">{hash}</td>
                  <td className="mono hash">{hash === receivedHash ? "the same" : receivedHash}</td>
                </tr>
              ))}
          </tbody>
        </table>
      </ScrollX>
      {rows.length > CHANNELS_SHOWN && (
        <p className="dim">
          {counted(rows.length - CHANNELS_SHOWN, "channel")} more: the proof looks at all.
        </p>
      )}
    </>
  );
}

function channelRows({ pieces }: Manifest) {
  const outgoing = new Map(
    pieces.flatMap(({ process, outgoing }) =>
      outgoing.map((one) => [`${process} ${one.to}`, one] as const),
    ),
  );
  return pieces.flatMap(({ process: to, incoming }) =>
    incoming.map(({ from, received, inFlight, hash: receivedHash }) => {
      const end = outgoing.get(`${from} ${to}`);
      return { from, to, sent: end?.sent, hash: end?.hash ?? "", received, inFlight, receivedHash };
    }),
  );
}
