// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command watch is the smallest useful client of the live tail: it subscribes to channels and prints
// each message as one line of JSON, for a pipe into jq.
//
//	go run ./examples/watch server:shop-agent-1
//	go run ./examples/watch project:shop | jq .payload
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	address := flag.String("address", cmp.Or(os.Getenv("TAILRACE_CONSOLE"), "localhost:4400"), "`host:port` of the live tail; the default is $TAILRACE_CONSOLE where that is set")
	backfill := flag.Int("backfill", 10, "`records` of the past to begin with")
	flag.Parse()
	channels := flag.Args()
	if len(channels) == 0 {
		fmt.Fprintln(os.Stderr, "Usage: watch [--address host:port] [--backfill n] CHANNEL…   (server:ID, project:ID, spans:PROJECT, logs:PROJECT, trace:ID, *)")
		os.Exit(2)
	}
	if err := watch("ws://"+*address+"/ws", channels, *backfill); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
}

func watch(url string, channels []string, backfill int) error {
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		return fmt.Errorf("connect to %s: %w (is Tailrace running?)", url, err)
	}
	defer conn.Close()
	for _, channel := range channels {
		subscribe := map[string]any{"type": "subscribe", "payload": map[string]any{
			"channel": channel, "backfill": map[string]int{"records": backfill}}}
		if err := conn.WriteJSON(subscribe); err != nil {
			return fmt.Errorf("subscribe to %s: %w", channel, err)
		}
	}
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		fmt.Printf("%s\n", message)
	}
}
