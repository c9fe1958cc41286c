// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package audit carries records of who did what from the console, an extension, into a pipeline, where a receiver takes them:
// extensions have no way into pipelines of their own. It does not know the collector.
package audit
