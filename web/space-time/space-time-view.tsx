/** Space-time. */

import { Empty } from "../parts/empty.tsx";

export function SpaceTimeView() {
  return <Empty title="Space-time" />;
}
