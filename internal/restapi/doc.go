// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package restapi serves what internal/query answers over HTTP: the routes under /api/v1 that read the store. It takes the
// caller from the request's context (access.FromContext), where whoever mounts it has put it, and refuses a request without
// one. Errors are application/problem+json, exports application/x-ndjson; openapi.yaml describes all of it, and a test
// holds the two together.
package restapi
