package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mrd-io/mr/plan"
)

// audit holds that a core's books agree with each other.
func audit(c *core) error {
	busy, small := map[workerID]int{}, map[workerID]int{}
	running := map[*coreJob]int{}
	for id, a := range c.attempts {
		if a.id != id {
			return fmt.Errorf("attempt %s is filed as %s", a.id, id)
		}
		if a.small {
			small[a.worker]++
		} else {
			busy[a.worker]++
		}
		if j, t := c.task(a.task); j != nil {
			running[j]++
			if t == nil || !slices.Contains(t.running, a) {
				return fmt.Errorf("attempt %s is not among those of %s", id, formatTask(a.task))
			}
		}
	}
	for id, w := range c.workers {
		if w.busy != busy[id] || w.busy > w.slots {
			return fmt.Errorf("worker %d: busy %d of %d, and runs %d", id, w.busy, w.slots, busy[id])
		}
		if w.small != small[id] || w.small > cmp.Or(w.most, c.smallSlots) {
			return fmt.Errorf("worker %d: %d small attempts of %d, and runs %d", id, w.small, c.smallSlots, small[id])
		}
	}
	for _, j := range c.order {
		if j.running != running[j] {
			return fmt.Errorf("job %s counts %d attempts and has %d", j.id, j.running, running[j])
		}
		for k := plan.Map; k <= plan.Reduce; k++ {
			if err := auditTasks(c, j, k); err != nil {
				return err
			}
		}
	}
	for key, id := range c.inflight {
		j, t := c.task(id)
		if j == nil || j.phase >= phaseEnding || t.key != key || t.state != taskRunning && t.state != taskReady {
			return fmt.Errorf("%s is awaited of %s, which will not make it", formatDigest(key), formatTask(id))
		}
	}
	return nil
}

func auditTasks(c *core, j *coreJob, k plan.Kind) error {
	left := 0
	for i := range j.tasks(k) {
		t := &j.tasks(k)[i]
		id := taskID{j.id, k, i}
		if t.state != taskDone {
			left++
		}
		live := 0
		for _, a := range t.running {
			if c.attempts[a.id] != a {
				return fmt.Errorf("%s has attempt %s, which is over", formatTask(id), a.id)
			}
			if !a.cancel {
				live++
			}
		}
		switch {
		case j.phase >= phaseEnding:
		case t.state == taskRunning && live == 0, t.state != taskRunning && live > 0, live > 2:
			return fmt.Errorf("%s is in state %d with %d attempts", formatTask(id), t.state, live)
		case t.state == taskReady && !slices.Contains(j.ready[k], i):
			return fmt.Errorf("%s is ready and not queued", formatTask(id))
		case t.state == taskBlocked && (k == plan.Map || j.phase == phaseReduce && j.cut && !j.stale && j.left[plan.Map] == 0):
			return fmt.Errorf("%s is blocked by nothing", formatTask(id))
		}
	}
	if left != j.left[k] {
		return fmt.Errorf("job %s counts %d tasks left of kind %d, and has %d", j.id, j.left[k], k, left)
	}
	return nil
}

// idle holds, at a moment when nothing is pending, that nobody waits in vain: tasks
// that wait for a key wait for one that is being made, and free slots have no work.
func idle(c *core) error {
	free := 0
	for _, w := range c.workers {
		if w.silent {
			continue
		}
		if !c.awake(-1) || !c.now.Before(w.rests) {
			free += w.slots - w.busy
		}
	}
	for _, j := range c.order {
		if j.phase >= phaseEnding {
			continue
		}
		k, some := j.peek()
		if some && c.freeForSmall() >= 0 && j.tasks(k)[j.ready[k][0]].small() {
			return fmt.Errorf("job %s has a small task to start, and there is a slot for it", j.id)
		}
		if some && c.freeWorker() >= 0 {
			for _, i := range j.ready[k] {
				t := &j.tasks(k)[i]
				if _, wait := c.elsewhere(t, c.freeWorker()); t.state == taskReady && !wait {
					return fmt.Errorf("%s may start, and %d slots are free", formatTask(taskID{j.id, k, i}), free)
				}
			}
		}
		for i := range j.maps {
			t := &j.maps[i]
			id := taskID{j.id, plan.Map, i}
			if t.state != taskWaiting {
				continue
			}
			if maker, ok := c.inflight[t.key]; !ok || maker == id || !slices.Contains(c.waiters[t.key], id) {
				return fmt.Errorf("%s waits for %s, which nobody makes", formatTask(id), formatDigest(t.key))
			}
		}
		if stuck := j.running == 0 && (j.phase == phaseReduce || j.phase == phaseMap && j.left[plan.Map] == 0); stuck && free > 0 && !some {
			return fmt.Errorf("job %s does nothing in phase %d", j.id, j.phase)
		}
	}
	return nil
}
