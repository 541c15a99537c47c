/** System. */

import { Empty } from "../parts/empty.tsx";

export function SystemView() {
  return <Empty title="System" />;
}
