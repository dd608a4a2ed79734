"""A program as many write them: nested loops, a dictionary, lists and their sorting, classes, strings.

usage: mixed.py [PERCENT of the work]
"""

import sys


class Account:
    def __init__(self, name):
        self.name = name
        self.balance = 0

    def deposit(self, amount):
        self.balance += amount


def nested_loops(size):
    total = 0
    for i in range(size):
        for j in range(300):
            if (i ^ j) % 3:
                total += i * j & 0xFF
            else:
                total -= 1
    return total


def words(count):
    seed = 42
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % 2147483648
        yield "w%d" % (seed >> 16 & 1023)


def dictionaries_and_lists(count):
    counts = {}
    for word in words(count):
        counts[word] = counts.get(word, 0) + 1
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    squares = [n * n for _, n in pairs if n % 2]
    return sum(squares[::2]), pairs[0][0]


def objects(count):
    accounts = [Account("a%d" % i) for i in range(100)]
    for i in range(count):
        accounts[i * 7 % 100].deposit(i % 13)
    return max(accounts, key=lambda account: (account.balance, account.name)).name


def strings(count):
    parts = []
    for i in range(count):
        parts.append(str(i) + ":" + hex(i)[2:].upper())
    text = ",".join(parts)
    return len(text), text.count("A"), sum(len(part) for part in text.split(":"))


def main():
    percent = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(nested_loops(80 * percent))
    print(dictionaries_and_lists(7000 * percent))
    print(objects(16000 * percent))
    print(strings(8000 * percent))


main()
