// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package consoleextension is the one HTTP server of Tailrace: the REST API, the web UI, and what other components mount on it, behind one
// decision of who may see what. internal/access decides, internal/restapi answers.
package consoleextension

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
