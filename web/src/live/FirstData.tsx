// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// The empty stream teaches: how to send something to this very address.

import type { Scope } from '../api/types';
import { sdkEnvironment, sendLog, wrapProcess } from '../lib/snippets';
import { Empty, Snippet } from '../ui/ui';

export function FirstData({ scope, filtered }: { scope: Scope; filtered: boolean }) {
  const project = scope.project ?? 'shop';
  const server = scope.server ?? 'web-1';
  if (filtered)
    return (
      <div className="log-empty">
        <Empty title="Nothing matches yet">
          <p className="soft">The filter is evaluated on the server, on everything that arrives and on what the live buffer holds. Scroll up to search the store, or clear the filter.</p>
        </Empty>
      </div>
    );
  return (
    <div className="log-empty">
      <Empty title={scope.server ? `Waiting for the first line of ${scope.server}` : 'Waiting for the first record'}>
        <p className="soft">Lines appear here the moment they arrive; the page can stay open. Three ways to send something:</p>
        <h3>One line, to try</h3>
        <Snippet text={sendLog(project)} />
        <h3>Any app with an OpenTelemetry SDK</h3>
        <Snippet text={sdkEnvironment(project, server)} />
        <h3>The output of any process</h3>
        <Snippet text={wrapProcess(project, server)} />
      </Empty>
    </div>
  );
}
