package jwks

// queue is a heap of tickets.
type queue []*ticket

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if q[i].order != q[j].order {
		return q[j].order.After(q[i].order)
	}
	if q[i].urgent { // a set that is rarely asked for does not wait for a crowd that began at once
		return q[i].since.After(q[j].since)
	}
	return q[j].since.After(q[i].since)
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	t := x.(*ticket)
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q, t.index = old[:len(old)-1], -1
	return t
}
