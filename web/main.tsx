/** Where the page begins. */

import "./style.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { PageProvider } from "./page.tsx";
import { Shell } from "./shell.tsx";

const root = document.getElementById("page");
if (root)
  createRoot(root).render(
    <StrictMode>
      <PageProvider>
        <Shell />
      </PageProvider>
    </StrictMode>,
  );
