# SPDX-License-Identifier: MIT
#
# The job that scripts/demo watches: the words that a text has most often. With --forever it counts
# again and again, so that there is something to look at while it runs.
sub count {
    my ($lines) = @_;
    my %count;
    for my $line (@$lines) {
        $count{lc $_}++ for $line =~ /\w+/g;
    }
    my @words = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
    return map { sprintf "%5d %s\n", $count{$_}, $_ } @words[0 .. 3];
}

my $forever = @ARGV && $ARGV[0] eq '--forever' && shift @ARGV;
my @lines = <>;
my @table;
do { @table = count(\@lines) } while $forever;
print @table;
