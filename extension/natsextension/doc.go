// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package natsextension connects the live tails of several collectors through NATS. Records go by its core, at most once; what is lost is
// counted by who gets them. With a stream (JetStream) it also keeps them for a while. A live_tail finds it by its component.ID and uses it
// as a cluster.Bus.
//
// It is a module of its own, so that who builds a collector without it does not need NATS's client.
package natsextension

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
