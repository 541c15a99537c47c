/** What is true of the whole system: found again and again while it runs, or asked of a trace. */

import "./properties-view.css";
import { usePage } from "../page.tsx";
import { Ask } from "./ask.tsx";
import { Watch } from "./watch.tsx";

export function PropertiesView() {
  const { server, about, opened } = usePage();
  const isLive = server !== undefined && about?.kind !== "file";
  const trace = opened?.kind === "trace" ? opened.trace : undefined;
  return (
    <div className="properties">
      {isLive && <Watch />}
      <Ask trace={trace} isLive={isLive} />
    </div>
  );
}
