package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const maxrssUnit = 1024

// watchMemory looks at the process tree below pid every 50 ms. The function it returns ends that and
// returns the largest sum of resident memory seen. Pages that several processes map count for each, and
// pages of mapped files count, though the kernel can take them back.
func watchMemory(pid int) (peak func() int64) {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				result <- most
				return
			case <-tick.C:
				most = max(most, residentOfTree(pid, 0))
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-result
	}
}

// residentOfTree is 0 for a process that is gone. Depth is bounded in case of a loop of reused ids.
func residentOfTree(pid, depth int) int64 {
	if depth > 20 {
		return 0
	}
	var sum int64
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if f := strings.Fields(string(statm)); err == nil && len(f) > 1 {
		if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			sum = pages * int64(os.Getpagesize())
		}
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return sum
	}
	for _, t := range tasks {
		children, err := os.ReadFile(t)
		if err != nil {
			continue // that thread has ended
		}
		for _, c := range strings.Fields(string(children)) {
			if child, err := strconv.Atoi(c); err == nil {
				sum += residentOfTree(child, depth+1)
			}
		}
	}
	return sum
}
