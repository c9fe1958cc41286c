// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package configcheckconverter checks the sections of Tailrace's components after the configuration was merged and expanded and
// before the collector decodes it. A mistake ends the start with one message that names file, line, key and what is allowed.
package configcheckconverter

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
