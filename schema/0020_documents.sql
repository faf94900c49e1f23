-- SPDX-License-Identifier: MIT
-- Documents as every version of libxl writes them. json-c from 0.18 on prints an empty object as {} where
-- earlier versions begin a new line in it. Rows of older releases are exported as these did.

ALTER TABLE domain ADD COLUMN layout_tight INTEGER NOT NULL DEFAULT 0 CHECK (layout_tight IN (0, 1));
ALTER TABLE retired_document ADD COLUMN layout_tight INTEGER NOT NULL DEFAULT 0 CHECK (layout_tight IN (0, 1));
