/** Properties. */

import { Empty } from "../parts/empty.tsx";

export function PropertiesView() {
  return <Empty title="Properties" />;
}
