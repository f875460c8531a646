"""What other systems decide, replayed on ours. The data lies beside the checkout (../shared/peer), never in it."""
