/** Store. */

import { Empty } from "../parts/empty.tsx";

export function StoreView() {
  return <Empty title="Store" />;
}
