/** Ordering lab. */

import { Empty } from "../parts/empty.tsx";

export function OrderingLab() {
  return <Empty title="Ordering lab" />;
}
