/** What is looked at of a trace, for components: they are drawn again when it changes. */

import { useSyncExternalStore } from "react";
import type { Looked, Session } from "./session.ts";

export function useLooked(session: Session): Looked {
  return useSyncExternalStore(session.subscribe, () => session.looked);
}
