// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package livetailclient is a client of Tailrace's live tail, subprotocol tailrace.v1 (docs/protocol/live-tail.md).
//
// A Client connects, subscribes, and connects again whenever the connection is lost, with a growing pause in between. It goes on
// behind what it has seen, so that its user gets every record of a subscription once and in order, or a Gap that says what is
// missing; it drops what it has seen already, also across a restart of the server.
//
//	c := livetailclient.New(livetailclient.Options{URL: "http://localhost:4400"})
//	err := c.Run(ctx, []livetailclient.Subscription{{Channel: "project:shop", Backfill: 100}}, func(e livetailclient.Event) error {
//		for _, r := range e.Records {
//			fmt.Println(r.Time, r.Body)
//		}
//		return nil
//	})
package livetailclient
