/** Where the page begins. */

import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { PageProvider, serverOfAddress } from "./page.tsx";
import { Shell } from "./shell.tsx";

const root = document.getElementById("page");
// At once: before anything is drawn, somebody may have gone to another address.
const server = serverOfAddress();
if (root)
  createRoot(root).render(
    <StrictMode>
      <PageProvider from={server}>
        <Shell />
      </PageProvider>
    </StrictMode>,
  );
