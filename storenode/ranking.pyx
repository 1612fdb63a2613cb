# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ranking: the counted B+ tree. See ranking.pxd.

Branch.least holds each child's very first member, always exactly: a removed member must not be pointed to any more, and
a search then never has to go back. Nodes are merged when one is less than a quarter full and both fit into three
quarters of one, so a member that comes and goes does not split and merge a node each time.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memmove, memset

from storenode.heap cimport heap_bytes, heap_free, heap_new
from storenode.types cimport Member, Node, Ranked, Ranking, Slice

cdef enum:
    BRANCH_MOST = 30
    DEPTH_MOST = 16            # 7 ** 16 leaves at the least

cdef struct Branch:
    uint32_t count             # children
    uint32_t spare
    void* children[BRANCH_MOST]
    uint64_t sizes[BRANCH_MOST]    # members below each child
    Ranked least[BRANCH_MOST]      # the first of them

cdef struct Way:               # from the root to a leaf
    Branch* branches[DEPTH_MOST]
    uint32_t at[DEPTH_MOST]


cdef Ranking* ranking_new(Node* node) noexcept nogil:
    cdef Ranking* ranking = <Ranking*> heap_new(node, sizeof(Ranking))
    cdef Leaf* leaf = <Leaf*> heap_new(node, sizeof(Leaf))
    memset(ranking, 0, sizeof(Ranking))
    memset(leaf, 0, sizeof(Leaf))
    ranking.members.head = sizeof(Member)
    ranking.members.node = node
    ranking.root = leaf
    ranking.first = leaf
    ranking.last = leaf
    return ranking


cdef void free_branches(Node* node, Branch* branch, int depth) noexcept nogil:
    """Recursive, at most DEPTH_MOST deep; the leaves are gone already."""
    cdef uint32_t index
    if depth > 1:
        for index in range(branch.count):
            free_branches(node, <Branch*> branch.children[index], depth - 1)
    heap_free(node, branch)


cdef bint ranking_drain(Ranking* ranking, size_t* budget) noexcept nogil:
    """Free the order, not the members, until the budget is used up; True: all of it is gone."""
    cdef Leaf* leaf
    while ranking.first != NULL:
        if budget[0] == 0:
            return False
        leaf = <Leaf*> ranking.first
        ranking.first = leaf.next
        budget[0] -= leaf.count if leaf.count < budget[0] else budget[0]
        heap_free(ranking.members.node, leaf)
    if ranking.depth:
        free_branches(ranking.members.node, <Branch*> ranking.root, ranking.depth)
        ranking.depth = 0
    return True


cdef inline int compare_names(const Slice* one, const Slice* other) noexcept nogil:
    cdef int order = memcmp(one.data, other.data, one.length if one.length < other.length else other.length)
    if order:
        return order
    return (one.length > other.length) - (one.length < other.length)


cdef bint lies_before(double score, const Slice* name, const Bound* bound) noexcept nogil:
    """Is a member in front of the cut?"""
    cdef int order
    if bound.kind == BY_SCORE or (bound.kind == BY_PLACE and score != bound.score):
        return score < bound.score or (bound.behind and score == bound.score)
    if bound.kind <= BY_NAME:
        order = compare_names(name, &bound.name)
        return order < 0 or (bound.behind and order == 0)
    return bound.kind == TOP


cdef inline bint before(const Ranked* item, const Bound* bound) noexcept nogil:
    cdef Slice name
    # Only a tie or a bound by name is worth the member's cache line.
    if bound.kind <= BY_SCORE and item.score != bound.score:
        return item.score < bound.score
    name = member_name(item.member)
    return lies_before(item.score, &name, bound)


cdef inline uint32_t count_before(const Ranked* items, uint32_t count, const Bound* bound) noexcept nogil:
    """How many of sorted items are in front of the cut."""
    cdef uint32_t low = 0
    cdef uint32_t middle
    while low < count:
        middle = (low + count) >> 1
        if before(&items[middle], bound):
            low = middle + 1
        else:
            count = middle
    return low


cdef inline uint32_t child_for(const Branch* branch, const Bound* bound) noexcept nogil:
    """The child in which the cut lies: the last whose least member is in front of it."""
    cdef uint32_t at = count_before(branch.least, branch.count, bound)
    return at - 1 if at else 0


cdef uint64_t ranking_below(const Ranking* ranking, const Bound* bound) noexcept nogil:
    """The number of members in front of the cut: the rank of the first behind it."""
    cdef const Branch* branch
    cdef void* place = ranking.root
    cdef uint64_t rank = 0
    cdef uint32_t at, index
    cdef int level
    for level in range(ranking.depth):
        branch = <const Branch*> place
        at = child_for(branch, bound)
        for index in range(at):
            rank += branch.sizes[index]
        place = branch.children[at]
    return rank + count_before((<Leaf*> place).items, (<Leaf*> place).count, bound)


cdef Leaf* ranking_at(const Ranking* ranking, uint64_t rank, uint32_t* index) noexcept nogil:
    """The leaf and the index of the member of a rank, which must exist."""
    cdef const Branch* branch
    cdef void* place = ranking.root
    cdef uint32_t at
    cdef int level
    for level in range(ranking.depth):
        branch = <const Branch*> place
        at = 0
        while rank >= branch.sizes[at]:
            rank -= branch.sizes[at]
            at += 1
        place = branch.children[at]
    index[0] = <uint32_t> rank
    return <Leaf*> place


cdef Leaf* descend(const Ranking* ranking, const Bound* bound, Way* way, int change) noexcept nogil:
    """The leaf of a cut and the way there; the counts along it change by `change`."""
    cdef Branch* branch
    cdef void* place = ranking.root
    cdef int level
    for level in range(ranking.depth):
        branch = <Branch*> place
        way.branches[level] = branch
        way.at[level] = child_for(branch, bound)
        branch.sizes[way.at[level]] += change
        place = branch.children[way.at[level]]
    return <Leaf*> place


cdef Bound place_of(double score, const Slice* name, bint behind) noexcept nogil:
    cdef Bound bound
    bound.kind = BY_PLACE
    bound.behind = behind
    bound.score = score
    bound.name = name[0]
    return bound


cdef inline void correct_least(Way* way, int level, const Ranked* least) noexcept nogil:
    """The first member below a child of the branch at `level` became `least`: tell all that begin with it."""
    while level >= 0:
        way.branches[level].least[way.at[level]] = least[0]
        if way.at[level]:
            break
        level -= 1


cdef void insert_child(Branch* branch, uint32_t at, void* child, uint64_t size, const Ranked* least) noexcept nogil:
    memmove(&branch.children[at + 1], &branch.children[at], (branch.count - at) * sizeof(void*))
    memmove(&branch.sizes[at + 1], &branch.sizes[at], (branch.count - at) * sizeof(uint64_t))
    memmove(&branch.least[at + 1], &branch.least[at], (branch.count - at) * sizeof(Ranked))
    branch.children[at] = child
    branch.sizes[at] = size
    branch.least[at] = least[0]
    branch.count += 1


cdef void remove_child(Branch* branch, uint32_t at) noexcept nogil:
    branch.count -= 1
    memmove(&branch.children[at], &branch.children[at + 1], (branch.count - at) * sizeof(void*))
    memmove(&branch.sizes[at], &branch.sizes[at + 1], (branch.count - at) * sizeof(uint64_t))
    memmove(&branch.least[at], &branch.least[at + 1], (branch.count - at) * sizeof(Ranked))


cdef void move_children(Branch* target, Branch* source, uint32_t start) noexcept nogil:
    """Append what `source` has from `start` on to `target`."""
    cdef uint32_t index
    for index in range(start, source.count):
        insert_child(target, target.count, source.children[index], source.sizes[index], &source.least[index])
    source.count = start


cdef uint64_t size_of(const Branch* branch) noexcept nogil:
    cdef uint64_t size = 0
    cdef uint32_t index
    for index in range(branch.count):
        size += branch.sizes[index]
    return size


cdef Leaf* split_leaf(Ranking* ranking, Leaf* leaf, uint32_t at) noexcept nogil:
    """Give the members from `at` on to a new leaf behind this one."""
    cdef Leaf* right = <Leaf*> heap_new(ranking.members.node, sizeof(Leaf))
    right.count = leaf.count - at
    right.spare = 0
    memmove(right.items, &leaf.items[at], right.count * sizeof(Ranked))
    leaf.count = at
    right.previous = leaf
    right.next = leaf.next
    if leaf.next != NULL:
        leaf.next.previous = right
    else:
        ranking.last = right
    leaf.next = right
    return right


cdef void adopt(Ranking* ranking, Way* way, void* child, uint64_t size, Ranked least) noexcept nogil:
    """Hang a new right neighbour of the leaf at the end of the way into the tree, splitting branches as needed."""
    cdef Node* node = ranking.members.node
    cdef int level = ranking.depth - 1
    cdef Branch* branch
    cdef Branch* right
    cdef uint32_t at
    while level >= 0:
        branch = way.branches[level]
        at = way.at[level] + 1
        branch.sizes[at - 1] -= size
        if branch.count < BRANCH_MOST:
            insert_child(branch, at, child, size, &least)
            return
        right = <Branch*> heap_new(node, sizeof(Branch))
        right.count = 0
        right.spare = 0
        move_children(right, branch, BRANCH_MOST if at == BRANCH_MOST else BRANCH_MOST // 2)
        if at > branch.count or right.count == 0:
            insert_child(right, at - branch.count, child, size, &least)
        else:
            insert_child(branch, at, child, size, &least)
        child = right
        size = size_of(right)
        least = right.least[0]
        level -= 1
    branch = <Branch*> heap_new(node, sizeof(Branch))
    branch.count = 0
    branch.spare = 0
    if ranking.depth == 0:
        insert_child(branch, 0, ranking.root, (<Leaf*> ranking.root).count, &(<Leaf*> ranking.root).items[0])
    else:
        insert_child(branch, 0, ranking.root, size_of(<Branch*> ranking.root), &(<Branch*> ranking.root).least[0])
    insert_child(branch, 1, child, size, &least)
    ranking.root = branch
    ranking.depth += 1


cdef void ranking_insert(Ranking* ranking, double score, Member* member) noexcept nogil:
    """Put a member, which must not be in the order yet, to its place."""
    cdef Slice name = member_name(member)
    cdef Bound bound = place_of(score, &name, False)
    cdef Way way
    cdef Leaf* leaf = descend(ranking, &bound, &way, 1)
    cdef Leaf* right = NULL
    cdef uint32_t at = count_before(leaf.items, leaf.count, &bound)
    cdef Leaf* target = leaf
    if leaf.count == LEAF_MOST:
        # Members that come in order leave full leaves behind them.
        right = split_leaf(ranking, leaf, LEAF_MOST if at == LEAF_MOST and leaf.next == NULL else LEAF_MOST // 2)
        if at > leaf.count or right.count == 0:
            at -= leaf.count
            target = right
    memmove(&target.items[at + 1], &target.items[at], (target.count - at) * sizeof(Ranked))
    target.items[at].score = score
    target.items[at].member = member
    target.count += 1
    if at == 0 and target == leaf:
        correct_least(&way, ranking.depth - 1, &leaf.items[0])
    if right != NULL:
        adopt(ranking, &way, right, right.count, right.items[0])


cdef void unlink_leaf(Ranking* ranking, Leaf* leaf) noexcept nogil:
    if leaf.previous != NULL:
        leaf.previous.next = leaf.next
    else:
        ranking.first = leaf.next
    if leaf.next != NULL:
        leaf.next.previous = leaf.previous
    else:
        ranking.last = leaf.previous
    heap_free(ranking.members.node, leaf)


cdef bint merge_pair(Ranking* ranking, Branch* branch, uint32_t at, bint leaves) noexcept nogil:
    """Put the child at `at` + 1 into the one at `at`, if three quarters of a node hold both."""
    cdef Leaf* leaf
    cdef Leaf* following
    cdef Branch* left
    cdef Branch* right
    if at + 1 >= branch.count:
        return False
    if leaves:
        leaf = <Leaf*> branch.children[at]
        following = <Leaf*> branch.children[at + 1]
        if leaf.count + following.count > LEAF_MOST // 4 * 3:
            return False
        memmove(&leaf.items[leaf.count], following.items, following.count * sizeof(Ranked))
        leaf.count += following.count
        unlink_leaf(ranking, following)
    else:
        left = <Branch*> branch.children[at]
        right = <Branch*> branch.children[at + 1]
        if left.count + right.count > BRANCH_MOST // 4 * 3:
            return False
        move_children(left, right, 0)
        heap_free(ranking.members.node, right)
    branch.sizes[at] += branch.sizes[at + 1]
    remove_child(branch, at + 1)
    return True


cdef void ranking_remove(Ranking* ranking, double score, const Slice* name) noexcept nogil:
    """Take a member, which must be there with this score, out of the order."""
    cdef Node* node = ranking.members.node
    cdef Bound bound = place_of(score, name, True)
    cdef Way way
    cdef Leaf* leaf = descend(ranking, &bound, &way, -1)
    cdef uint32_t at = count_before(leaf.items, leaf.count, &bound) - 1
    cdef Branch* branch
    cdef int level = ranking.depth - 1
    cdef uint32_t held
    cdef bint leaves = True
    leaf.count -= 1
    memmove(&leaf.items[at], &leaf.items[at + 1], (leaf.count - at) * sizeof(Ranked))
    if at == 0 and leaf.count:
        correct_least(&way, level, &leaf.items[0])
    held = leaf.count
    while level >= 0:
        branch = way.branches[level]
        if held == 0:
            if leaves:
                unlink_leaf(ranking, <Leaf*> branch.children[way.at[level]])
            else:
                heap_free(node, branch.children[way.at[level]])
            remove_child(branch, way.at[level])
            if way.at[level] == 0 and branch.count:
                correct_least(&way, level - 1, &branch.least[0])
        elif held < (LEAF_MOST if leaves else BRANCH_MOST) // 4:
            if not merge_pair(ranking, branch, way.at[level], leaves) and way.at[level]:
                merge_pair(ranking, branch, way.at[level] - 1, leaves)
        held = branch.count
        leaves = False
        level -= 1
    while ranking.depth and (<Branch*> ranking.root).count == 1:
        branch = <Branch*> ranking.root
        ranking.root = branch.children[0]
        ranking.depth -= 1
        heap_free(node, branch)


cdef size_t branch_bytes(const Branch* branch, int depth) noexcept nogil:
    cdef size_t total = heap_bytes(branch)
    cdef uint32_t index
    if depth > 1:
        for index in range(branch.count):
            total += branch_bytes(<const Branch*> branch.children[index], depth - 1)
    return total


cdef size_t ranking_bytes(const Ranking* ranking) noexcept nogil:
    """What the order takes from the heap, without the Dict of the members."""
    cdef size_t total = heap_bytes(ranking)
    cdef const Leaf* leaf = <const Leaf*> ranking.first
    while leaf != NULL:
        total += heap_bytes(leaf)
        leaf = leaf.next
    if ranking.depth:
        total += branch_bytes(<const Branch*> ranking.root, ranking.depth)
    return total
