// The names of what concerns several lanes, and the whole table.

#include "exchange.h"
#include "table.h"

namespace ptx {

void add_control(Table& t) {
    t.flow("bra", "L", Kind::BRANCH);
    t.flow("bra.uni", "L", Kind::BRANCH);
    t.flow("ret", "", Kind::RETURN);
    t.flow("exit", "", Kind::RETURN);
    t.flow("bar.sync", "0", Kind::BLOCK_BARRIER);
    t.flow("barrier.sync", "0", Kind::BLOCK_BARRIER);
    t.warp_wide("bar.warp.sync", "4", synchronise, 0);
    t.warp_wide("shfl.sync.up.b32", "|44444", shuffle<Shuffle::UP>, 4);
    t.warp_wide("shfl.sync.down.b32", "|44444", shuffle<Shuffle::DOWN>, 4);
    t.warp_wide("shfl.sync.bfly.b32", "|44444", shuffle<Shuffle::BUTTERFLY>, 4);
    t.warp_wide("shfl.sync.idx.b32", "|44444", shuffle<Shuffle::INDEX>, 4);
    t.warp_wide("vote.sync.all.pred", "pp4", vote<Vote::ALL>, 2);
    t.warp_wide("vote.sync.any.pred", "pp4", vote<Vote::ANY>, 2);
    t.warp_wide("vote.sync.ballot.b32", "4p4", vote<Vote::BALLOT>, 2);
}

const std::vector<Entry>& table() {
    static const std::vector<Entry> entries = [] {
        Table table;
        add_arithmetic(table);
        add_conversions(table);
        add_memory(table);
        add_control(table);
        return table.entries;
    }();
    return entries;
}

}  // namespace ptx
