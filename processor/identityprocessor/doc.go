// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package identityprocessor gives every resource its project, deployment, server and build, from the sender's credential,
// its attributes or a default, and refuses claims against the credential. It stamps log.record.uid on log records.
package identityprocessor

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
