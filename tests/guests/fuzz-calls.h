/*
 * What the arguments of system calls look like, for the fuzzers: CALL(number, "kinds"), one letter per argument.
 * Numbers that are not here get six arguments of any kind.
 *
 *   f descriptor     p pointer           P path              v array of struct iovec or of small structures
 *   d directory      a page address      n size              o file offset
 *   i small integer  j few flags         s signal number     w pointer to a time
 *   t thread         r protection        M flags of mmap     O flags of open
 *   C flags of clone q ioctl's request
 */
CALL(0, "fpn") CALL(1, "fpn") CALL(2, "POi") CALL(3, "f") CALL(4, "Pp") CALL(5, "fp") CALL(6, "Pp") CALL(7, "vii")
CALL(8, "foi") CALL(9, "anrMfo") CALL(10, "anr") CALL(11, "an") CALL(12, "a") CALL(13, "sppi") CALL(14, "ippi")
CALL(15, "") CALL(16, "fqp") CALL(17, "fpno") CALL(18, "fpno") CALL(19, "fvi") CALL(20, "fvi") CALL(21, "Pi")
CALL(22, "p") CALL(23, "ipppw") CALL(24, "") CALL(25, "annja") CALL(26, "ani") CALL(27, "anp") CALL(28, "ani")
CALL(32, "f") CALL(33, "ff") CALL(34, "") CALL(35, "ww") CALL(36, "ip") CALL(37, "i") CALL(38, "iww") CALL(40, "ffpn")
CALL(56, "Cpppp") CALL(60, "i") CALL(62, "ts") CALL(72, "fip") CALL(73, "fi") CALL(74, "f") CALL(75, "f") CALL(76, "Po")
CALL(77, "fo") CALL(78, "fpn") CALL(79, "pn") CALL(80, "P") CALL(81, "f") CALL(82, "PP") CALL(83, "Pi") CALL(84, "P")
CALL(85, "Pi") CALL(86, "PP") CALL(87, "P") CALL(88, "PP") CALL(89, "Ppn") CALL(90, "Pi") CALL(91, "fi") CALL(92, "Pii")
CALL(93, "fii") CALL(94, "Pii") CALL(95, "i") CALL(96, "wp") CALL(97, "ip") CALL(98, "ip") CALL(99, "p") CALL(100, "p")
CALL(115, "ip") CALL(127, "pn") CALL(128, "ppwi") CALL(129, "tsp") CALL(130, "pi") CALL(131, "pp") CALL(132, "Pp")
CALL(133, "Pii") CALL(137, "Pp") CALL(138, "fp") CALL(149, "an") CALL(150, "an") CALL(151, "i") CALL(157, "ippii")
CALL(158, "ip") CALL(160, "ip") CALL(186, "") CALL(187, "fon") CALL(200, "ts") CALL(201, "p") CALL(202, "piiwpi")
CALL(203, "tnp") CALL(204, "tnp") CALL(217, "fpn") CALL(218, "p") CALL(221, "fooi") CALL(222, "ipp") CALL(223, "iipp")
CALL(224, "ip") CALL(225, "i") CALL(226, "i") CALL(227, "ip") CALL(228, "ip") CALL(229, "ip") CALL(230, "iiww")
CALL(231, "i") CALL(234, "tts") CALL(235, "Pw") CALL(247, "iipip") CALL(257, "dPOi") CALL(258, "dPi") CALL(259, "dPii")
CALL(260, "dPiij") CALL(261, "dPw") CALL(262, "dPpj") CALL(263, "dPj") CALL(264, "dPdP") CALL(265, "dPdPj")
CALL(266, "PdP") CALL(267, "dPpn") CALL(268, "dPi") CALL(269, "dPi") CALL(270, "ipppwp") CALL(271, "viwpn")
CALL(273, "pn") CALL(274, "tpp") CALL(277, "foni") CALL(280, "dPwj") CALL(281, "fpiipn") CALL(282, "fpni") CALL(284, "ij")
CALL(285, "fioo") CALL(286, "iiww") CALL(287, "ip") CALL(289, "fpnj") CALL(290, "ij") CALL(292, "ffj") CALL(293, "pj")
CALL(295, "fvio") CALL(296, "fvio") CALL(297, "ttsp") CALL(302, "tipp") CALL(306, "f") CALL(309, "ppp") CALL(316, "dPdPi")
CALL(318, "pni") CALL(319, "Pi") CALL(324, "iii") CALL(326, "fpfpni") CALL(327, "fvioij") CALL(328, "fvioij")
CALL(329, "anri") CALL(332, "dPjip") CALL(334, "pnii") CALL(424, "fspi") CALL(434, "ti") CALL(435, "pn") CALL(436, "iii")
CALL(437, "dPpn") CALL(439, "dPij") CALL(449, "viiwi") CALL(452, "dPij") CALL(454, "piiii") CALL(455, "pii")
